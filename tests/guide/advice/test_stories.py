"""Forty stories, written before the rules: each gets the expected advice."""

import pytest

from finetune_app.guide.advice import Answers, advise
from finetune_app.guide.advice.decide import Recommend, decide
from finetune_app.guide.advice.rules import RULES
from tests.guide.advice.stories import STORIES

# What no story reaches, with answers that do.
FURTHER = {
    "uneven_with_examples": (
        {"improve": "unsure", "tried_prompt": "inconsistent", "pairs": 250, "test_questions": 30},
        Recommend.FINE_TUNE,
    ),
    "no_documents": (
        {
            "improve": "tone",
            "tried_prompt": "inconsistent",
            "facts_change": "weekly",
            "pairs": 300,
            "documents": 0,
            "test_questions": 30,
        },
        Recommend.COLLECT_DOCUMENTS,
    ),
    "pilot": (
        {"improve": "format", "tried_prompt": "inconsistent", "pairs": 60, "test_questions": 25},
        Recommend.FINE_TUNE,
    ),
    "few_tests": (
        {"improve": "format", "tried_prompt": "inconsistent", "pairs": 300, "test_questions": 9},
        Recommend.FINE_TUNE,
    ),
    "short_enough_to_paste": (
        {"improve": "facts", "tried_prompt": "lacks_facts", "documents": 2, "test_questions": 25},
        Recommend.RAG,
    ),
    "train_again": (
        {
            "improve": "tone",
            "tried_prompt": "inconsistent",
            "pairs": 300,
            "facts_change": "monthly",
            "test_questions": 30,
        },
        Recommend.FINE_TUNE,
    ),
    "nothing_stands_out": (
        {"improve": "unsure", "tried_prompt": "inconsistent", "pairs": 3, "test_questions": 30},
        Recommend.PROMPT,
    ),
}


def rules_of(given: dict) -> set[str]:
    decision = decide(Answers.read(given))
    return {rule.name for rule in decision.rules + decision.notes}


@pytest.mark.parametrize("story", STORIES, ids=[story["name"] for story in STORIES])
def test_each_story_gets_its_advice(story):
    assert advise(Answers.read(story["answers"])).recommendation == story["expect"]


def test_there_are_forty_stories_and_every_advice_is_among_them():
    assert len(STORIES) == 40
    assert {story["expect"] for story in STORIES} == {one.value for one in Recommend}


def test_every_rule_is_reached():
    reached = set().union(*(rules_of(story["answers"]) for story in STORIES))
    assert reached | set(FURTHER) == {rule.name for rule in RULES}
    assert not reached & set(FURTHER), "a story reaches it: take it out of FURTHER"


@pytest.mark.parametrize("name", FURTHER)
def test_the_rules_that_no_story_reaches(name):
    given, expected = FURTHER[name]
    assert name in rules_of(given)
    assert advise(Answers.read(given)).recommendation == expected


def test_no_two_rules_have_the_same_name():
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))


# ---- Near the edges ----

READY = {"improve": "format", "tried_prompt": "inconsistent", "pairs": 120, "test_questions": 25}


def says(**changed) -> str:
    return advise(Answers.read(READY | changed)).recommendation


def test_pairs_decide_when_training_may_begin():
    assert [says(pairs=n) for n in (9, 10, 49)] == ["collect_pairs"] * 3
    assert [says(pairs=n) for n in (50, 99, 100)] == ["fine_tune"] * 3
    few = advise(Answers.read(READY | {"pairs": 6}))
    assert "about 44 more" in few.reasons[0].text
    one = advise(Answers.read(READY | {"pairs": 49}))
    assert "about 1 more" in one.reasons[0].text


def test_eight_questions_may_begin_twenty_are_better():
    assert [says(test_questions=n) for n in (0, 7, 8, 20)] == [
        "collect_tests",
        "collect_tests",
        "fine_tune",
        "fine_tune",
    ]
    assert "few_tests" in rules_of(READY | {"test_questions": 19})
    assert "few_tests" not in rules_of(READY | {"test_questions": 20})


def test_facts_that_move_or_need_a_source_bring_the_search_in():
    for needs in ({"facts_change": "weekly"}, {"facts_change": "daily"}, {"needs_sources": True}):
        assert says(**needs, documents=40) == "rag_then_fine_tune"
        assert says(**needs, documents=40, pairs=20) == "rag"
        assert says(**needs) == "collect_documents"
    assert says(facts_change="monthly", documents=40) == "fine_tune"


def test_private_data_alone_does_not_forbid_training_but_is_said():
    assert says(private_data=True) == "fine_tune"
    assert "private_data" in rules_of(READY | {"private_data": True})


def test_a_few_pages_are_pasted_before_a_search_is_built():
    asked = {"improve": "facts", "tried_prompt": "no", "test_questions": 30}
    given = [advise(Answers.read(asked | {"documents": n})).recommendation for n in (0, 1, 3, 4)]
    assert given == ["collect_documents", "prompt", "prompt", "rag"]


def test_what_was_skipped_makes_it_less_sure():
    sure = {
        "facts_change": "never",
        "needs_sources": False,
        "documents": 0,
        "heavy_use": False,
        "private_data": False,
    }
    assert advise(Answers.read(READY | sure)).confidence == "high"
    found = advise(Answers.read(READY | sure | {"needs_sources": None}))
    assert (found.confidence, found.doubts) == ("medium", ("needs_sources",))
    assert any("If answers had to name their source" in one for one in found.would_change)
    assert advise(Answers()).confidence == "low"

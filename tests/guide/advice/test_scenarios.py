"""Scenarios that were written before the rules: each gets the expected advice."""

import pytest

from finetune_app.guide.advice import Answers, advise
from finetune_app.guide.advice.decide import Recommend, decide
from finetune_app.guide.advice.rules import RULES
from tests.guide.advice.scenarios import SCENARIOS

# Rules that apply to no scenario, with answers that they apply to.
RULES_WITHOUT_SCENARIO = {
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


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario["name"] for scenario in SCENARIOS])
def test_each_scenario_gets_the_expected_advice(scenario):
    assert advise(Answers.read(scenario["answers"])).recommendation == scenario["expect"]


def test_the_scenarios_cover_every_advice():
    assert len(SCENARIOS) == 40
    assert {scenario["expect"] for scenario in SCENARIOS} == {one.value for one in Recommend}


def test_every_rule_is_applied():
    applied = set().union(*(rules_of(scenario["answers"]) for scenario in SCENARIOS))
    assert applied | set(RULES_WITHOUT_SCENARIO) == {rule.name for rule in RULES}
    assert not applied & set(RULES_WITHOUT_SCENARIO), (
        "a scenario covers it: remove it from RULES_WITHOUT_SCENARIO"
    )


@pytest.mark.parametrize("name", RULES_WITHOUT_SCENARIO)
def test_rules_without_a_scenario_apply_to_other_answers(name):
    given, expected = RULES_WITHOUT_SCENARIO[name]
    assert name in rules_of(given)
    assert advise(Answers.read(given)).recommendation == expected


def test_no_two_rules_have_the_same_name():
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))


# ---- Around the thresholds ----

READY = {"improve": "format", "tried_prompt": "inconsistent", "pairs": 120, "test_questions": 25}


def recommendation(**changed) -> str:
    return advise(Answers.read(READY | changed)).recommendation


def test_training_is_recommended_from_50_pairs():
    assert [recommendation(pairs=n) for n in (9, 10, 49)] == ["collect_pairs"] * 3
    assert [recommendation(pairs=n) for n in (50, 99, 100)] == ["fine_tune"] * 3
    few = advise(Answers.read(READY | {"pairs": 6}))
    assert "about 44 more" in few.reasons[0].text
    one = advise(Answers.read(READY | {"pairs": 49}))
    assert "about 1 more" in one.reasons[0].text


def test_training_needs_8_test_questions_and_fewer_than_20_are_noted():
    assert [recommendation(test_questions=n) for n in (0, 7, 8, 20)] == [
        "collect_tests",
        "collect_tests",
        "fine_tune",
        "fine_tune",
    ]
    assert "few_tests" in rules_of(READY | {"test_questions": 19})
    assert "few_tests" not in rules_of(READY | {"test_questions": 20})


def test_changing_facts_and_sources_need_documents():
    for needs in ({"facts_change": "weekly"}, {"facts_change": "daily"}, {"needs_sources": True}):
        assert recommendation(**needs, documents=40) == "rag_then_fine_tune"
        assert recommendation(**needs, documents=40, pairs=20) == "rag"
        assert recommendation(**needs) == "collect_documents"
    assert recommendation(facts_change="monthly", documents=40) == "fine_tune"


def test_private_data_is_noted_but_does_not_prevent_training():
    assert recommendation(private_data=True) == "fine_tune"
    assert "private_data" in rules_of(READY | {"private_data": True})


def test_up_to_three_documents_go_into_the_prompt():
    asked = {"improve": "facts", "tried_prompt": "no", "test_questions": 30}
    given = [advise(Answers.read(asked | {"documents": n})).recommendation for n in (0, 1, 3, 4)]
    assert given == ["collect_documents", "prompt", "prompt", "rag"]


def test_skipped_questions_lower_the_confidence():
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

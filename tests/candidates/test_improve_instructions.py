"""Hints from the wrong answers, and instructions proposed by a model."""

import json

import pytest
from django.urls import reverse

from finetune_app.basemodels.models import BaseModel
from finetune_app.candidates import (
    answer_format,
    batch_inference,
    few_shot,
    prompt_hints,
    prompt_rewriting,
    validation_prompts,
)
from finetune_app.candidates.models import Candidate, ValidationAnswer, WorkbenchDraft
from finetune_app.candidates.prompt_hints import find_hints
from finetune_app.candidates.validation_prompts import PromptResult, ValidationPrompt
from finetune_app.datasets.services import add_rows, dataset_of
from tests import journey
from tests.candidates.workbench_helpers import HTMX, FakeEngine, text
from tests.example_rows import conversation, pair

JSON = ['{"a": 1, "b": 2}', '{"b": 3, "a": 4, "c": 5}', '{"a": 9, "b": 9}']
LINES = ["topic: card\ndue: today", "topic: bike\ndue: monday", "topic: card\ndue: never"]
SORTS = ["card_lost", "top_up", "card_lost", "refund", "top_up", "card_lost"]


def results_of(*answers: tuple, finish: str = "stop") -> list[PromptResult]:
    """Results from (expected answer, given answer, passed[, reason]) tuples."""
    return [
        PromptResult(
            ValidationPrompt(at, ({"role": "user", "content": f"Question {at}"},), wanted),
            ValidationAnswer(
                example_id=at,
                text=answer,
                passed=passed,
                why=(why or ["Not as wanted"])[0],
                finish_reason=finish,
            ),
        )
        for at, (wanted, answer, passed, *why) in enumerate(answers)
    ]


def hints(rows, known, shots=True, instructions="Do it.") -> dict[str, prompt_hints.Hint]:
    shown = [{"prompt": "p", "answer": "a"}] if shots else []
    candidate = Candidate(instructions=instructions, shots=shown)
    return {hint.key: hint for hint in find_hints(rows, known, candidate)}


def test_no_hints_without_wrong_answers():
    assert hints(results_of(("a", "a", True)), SORTS) == {}
    assert hints([], SORTS) == {}


@pytest.mark.parametrize(
    ("known", "answer", "text_part", "insert_part"),
    [
        (JSON, "Sure! Here it is", "the wanted form (JSON)", "with the fields a and b,"),
        (LINES, "It is a card", "(lines topic and due)", "topic: …\ndue: …"),
        (SORTS, "You lost it", "(one of 3 answers)", "card_lost, refund, top_up"),
        (["<a>1</a>", "<a>2</a>"], "one", "(XML)", "XML only"),
    ],
)
def test_a_missed_format_is_named(known, answer, text_part, insert_part):
    rows = results_of(
        (known[0], answer, False), (known[1], answer, False), (known[0], known[0], True)
    )
    hint = hints(rows, known)["form"]
    assert "2 of 2 wrong answers are not in the wanted form" in hint.text
    assert text_part in hint.text
    assert insert_part in hint.insert


def test_no_format_hint_for_a_wrong_answer_in_the_right_format():
    assert "form" not in hints(results_of(("card_lost", "top_up", False)), SORTS)


def test_an_invalid_field_value_is_named_with_the_valid_ones():
    known = [f"topic: {topic}\ndue: {n}" for n in range(4) for topic in ("card", "bike")]
    rows = results_of((known[0], "topic: parcel\ndue: 0", False), (known[1], known[0], False))
    hint = hints(rows, known)["values"]
    assert hint.text == "1 wrong answer has a “topic” that you never use, like “parcel”."
    assert hint.insert == "topic is one of: bike, card."


def test_free_text_has_no_format():
    prose = ["We open at nine.", "Yes, of course.", "Bring it in on Monday, please."]
    assert answer_format.infer_format(prose) is None


def test_a_correct_answer_among_other_words():
    hint = hints(results_of(("card_lost", "The topic is card_lost.", False)), SORTS)["around"]
    assert hint.text == "1 wrong answer holds the right one among other words."
    assert "alone" in hint.insert


def test_a_part_of_a_word_is_not_the_answer():
    rows = results_of(("no", "I do not know, call Nora", False), ("no", "That is noted", False))
    assert "around" not in hints(rows, SORTS)


def test_the_form_names_every_label_of_a_sorted_file(goal, owner):
    rows = [
        {"messages": conversation(pair(n)[0], f"label {n // 15}"), "split": "train"}
        for n in range(60)
    ]
    add_rows(dataset=dataset_of(goal), by=owner, rows=rows)
    known = few_shot.known_answers(few_shot.showables(goal), 12)
    assert set(known) == {f"label {n}" for n in range(4)}


def test_answer_length_is_compared_with_the_expected_answers():
    rows = results_of(("a b", "one two three four", False), ("a b", "x " * 50, False))
    hint = hints(rows, ["a b c"])["length"]
    assert "2 answers are longer than any you want (3 words at most)" in hint.text
    assert hint.insert == "Answer in at most 3 words."


def test_empty_and_truncated_answers_are_counted():
    assert "1 answer is empty." in hints(results_of(("a", "", False)), ["a"])["empty"].text
    cut = hints(results_of(("a", "b", False), finish="length"), ["a"])["cut"]
    assert "did not end by itself" in cut.text


def test_an_answer_that_is_always_missed_should_be_shown():
    rows = results_of(
        ("card_lost", "top_up", False), ("card_lost", "refund", False), ("top_up", "top_up", True)
    )
    hint = hints(rows, SORTS)["missed"]
    assert "“card_lost” was wanted 2 times and missed each time" in hint.text
    assert hint.show == "card_lost"
    rows = results_of(("card_lost", "top_up", False), ("card_lost", "card_lost", True))
    assert "missed" not in hints(rows, SORTS)


def test_a_repeated_reason_is_named():
    rows = results_of(
        ("a", "x", False, "“thanks” is missing"), ("b", "y", False, "“thanks” is missing")
    )
    hint = hints(rows, ["a", "b"])["reason"]
    assert "2 of 2 for the same reason" in hint.text
    assert hint.insert == "Always say “thanks”."


def test_instructions_that_exist_are_not_offered_again():
    rows = results_of(("card_lost", "no", False))
    insert = hints(rows, SORTS)["form"].insert
    assert hints(rows, SORTS, instructions=f"Hello. {insert}")["form"].insert == ""


def test_missing_examples_are_named():
    assert hints(results_of(("a", "b", False)), ["a"], shots=False)["shots"].pick


# ---- On the page ----


@pytest.fixture
def ready_goal(goal, owner):
    return journey.ready(goal, owner)


@pytest.fixture
def fake_engine(monkeypatch) -> FakeEngine:
    from finetune_app.core import engine_client

    fake_engine = FakeEngine()
    monkeypatch.setattr(engine_client, "stream_chat", fake_engine)
    return fake_engine


@pytest.fixture
def failed(as_editor, ready_goal, fake_engine):
    """A draft whose answers to all prompts are wrong."""
    for _press in range(4):
        as_editor.post(at(ready_goal, "ask_prompts"), {"instructions": "Sort it."}, headers=HTMX)
    return as_editor


def at(goal, name: str) -> str:
    return reverse(f"candidates:{name}", args=[goal.pk])


def test_a_hint_is_added_to_the_instructions(failed, ready_goal):
    page = text(failed.get(at(ready_goal, "workbench")))
    assert "are not in the wanted form (lines topic and due)" in page
    reply = failed.post(
        at(ready_goal, "apply_hint"), {"instructions": "Sort it.", "hint": "form"}, headers=HTMX
    )
    assert "topic: …\ndue: …" in WorkbenchDraft.objects.get().instructions
    assert WorkbenchDraft.objects.get().instructions.startswith("Sort it.\n\n")
    assert 'id="words"' in text(reply)
    assert 'id="tries" aria-labelledby="h-tries" hx-swap-oob="true"' in text(reply)


def test_a_hint_adds_examples(failed, ready_goal):
    failed.post(at(ready_goal, "apply_hint"), {"instructions": "Sort it.", "hint": "shots"})
    assert len(WorkbenchDraft.objects.get().shots) == 4


def test_an_example_that_is_too_long_to_be_shown_is_said(failed, ready_goal, monkeypatch):
    hint = prompt_hints.Hint("missed", "", show="topic: nothing that anybody answered")
    monkeypatch.setattr(prompt_hints, "find_hints", lambda *given: [hint])
    form = {"instructions": "Sort it.", "hint": "missed"}
    reply = failed.post(at(ready_goal, "apply_hint"), form, headers=HTMX)
    assert "No example with that answer is short enough" in text(reply)


def test_an_unknown_hint_changes_nothing(failed, ready_goal):
    failed.post(at(ready_goal, "apply_hint"), {"instructions": "Sort it.", "hint": "<script>"})
    assert WorkbenchDraft.objects.get().instructions == "Sort it."


def test_a_small_model_is_not_offered_as_writer(failed, ready_goal):
    page = text(failed.get(at(ready_goal, "workbench")))
    assert "a small one would only pretend" in page
    assert "Suggest an improvement" not in page
    BaseModel.objects.update(parameters=prompt_rewriting.MIN_WRITER_PARAMETERS)
    assert "Suggest an improvement" in text(failed.get(at(ready_goal, "workbench")))


def test_a_remote_model_proposes_instructions(failed, ready_goal, platform, team, owner):
    endpoint = platform.endpoint(team, owner)
    platform.reply_to = lambda messages: "# Instructions\nSort each mail by its topic."
    form = {"instructions": "Sort it.", "write": "1", "writer": f"endpoint:{endpoint.pk}"}
    page = text(failed.post(at(ready_goal, "improve"), form, headers=HTMX))
    assert f"{endpoint.name} suggests" in page
    assert "<ins>" in page
    draft = WorkbenchDraft.objects.get()
    assert (draft.instructions, draft.proposal) == ("Sort it.", "Sort each mail by its topic.")
    failed.post(at(ready_goal, "improve"), {"instructions": "Sort it.", "take": "1"})
    draft.refresh_from_db()
    assert (draft.instructions, draft.proposal) == ("Sort each mail by its topic.", "")


@pytest.mark.parametrize("proposal", ["Better words.", ""])
def test_what_is_typed_while_the_model_writes_is_kept(
    failed, ready_goal, platform, team, owner, monkeypatch, proposal
):
    """Whether it proposes something or not: neither the draft nor the text box goes back."""
    platform.endpoint(team, owner)
    platform.reply_to = lambda messages: proposal
    generate = batch_inference.generate

    def typing_meanwhile(*args, **kwargs):
        failed.post(at(ready_goal, "save_draft"), {"instructions": "Sort it, by topic."})
        return generate(*args, **kwargs)

    monkeypatch.setattr(batch_inference, "generate", typing_meanwhile)
    form = {"instructions": "Sort it.", "write": "1"}
    page = text(failed.post(at(ready_goal, "improve"), form, headers=HTMX))
    assert 'id="tries"' in page
    assert 'id="words"' not in page
    draft = WorkbenchDraft.objects.get()
    assert (draft.instructions, draft.proposal) == ("Sort it, by topic.", proposal)


def test_a_proposal_can_be_rejected(failed, ready_goal, platform, team, owner):
    platform.endpoint(team, owner)
    platform.reply_to = lambda messages: "Better words."
    failed.post(at(ready_goal, "improve"), {"instructions": "Sort it.", "write": "1"})
    failed.post(at(ready_goal, "improve"), {"instructions": "Sort it.", "leave": "1"})
    draft = WorkbenchDraft.objects.get()
    assert (draft.instructions, draft.proposal) == ("Sort it.", "")


def test_the_writer_gets_only_what_the_page_says(failed, ready_goal, platform, team, owner):
    platform.endpoint(team, owner)
    failed.post(at(ready_goal, "improve"), {"instructions": "Sort it.", "write": "1"})
    sent = json.dumps(platform.requests[-1]["body"]["messages"], ensure_ascii=False)
    asked = validation_prompts.prompts_of_goal(ready_goal)
    shown = [one for one in asked if json.dumps(one.prompt)[1:-1] in sent]
    assert 0 < len(shown) <= prompt_rewriting.MAX_FAILURES
    assert "Sort it." in sent
    assert "Nothing of that." in sent
    others = ready_goal.dataset.examples.exclude(pk__in=[one.example_id for one in asked])
    assert not [one for one in others if json.dumps(one.prompt)[1:-1] in sent]


def test_a_proposal_needs_wrong_answers(as_editor, ready_goal, platform, team, owner):
    platform.endpoint(team, owner)
    page = text(
        as_editor.post(at(ready_goal, "improve"), {"instructions": "x", "write": "1"}, headers=HTMX)
    )
    assert "Try the instructions first" in page
    assert platform.requests == []


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Sort it.", "Sort it."),
        ("```\nSort it.\n```", "Sort it."),
        ("**New instructions:**\nSort it.", "Sort it."),
        ("<think>hm\nhm</think>\nSort it.", "Sort it."),
        ("<think>never ends", ""),
    ],
)
def test_instructions_are_extracted_from_the_reply(written, kept):
    assert prompt_rewriting.extract_instructions(written) == kept

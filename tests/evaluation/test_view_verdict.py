"""The evaluation page: the verdict in each of its forms, and the answers side by side."""

import re
from dataclasses import asdict

import pytest

from finetune_app.evaluation import presenters, services
from finetune_app.evaluation.models import Answer, Comparison, Evaluation
from finetune_app.evaluation.verdict.computation import compute_verdict
from finetune_app.evaluation.verdict.types import PairedOutcome
from tests.factories import World, build_world

GREEN = {"level": "green", "sentence": "No large loss found."}


@pytest.fixture
def world(team, owner) -> World:
    return build_world(team, owner)


@pytest.fixture
def evaluation(world) -> Evaluation:
    return world.evaluation


def fill(evaluation: Evaluation, better: int, same: int, worse: int) -> Evaluation:
    """Fill in as many prompts of each outcome, and store the verdict."""
    evaluation.comparisons.all().delete()
    evaluation.answers.all().delete()
    evaluation.trivial_answers.all().delete()
    signs = [1] * better + [0] * same + [-1] * worse
    for index, sign in enumerate(signs):
        both = index % 2 == 0  # equal outcomes are right and wrong in turn
        right = {"base": sign < 0 or (not sign and both), "ours": sign > 0 or (not sign and both)}
        for name, passed in right.items():
            Answer.objects.create(
                evaluation=evaluation,
                candidate=getattr(evaluation, name),
                index=index,
                row=index,
                text="repair" if passed else "return",
                passed=passed,
                score=float(passed),
            )
        word = {1: "better", 0: "same", -1: "worse"}[sign]
        Comparison.objects.create(
            evaluation=evaluation,
            index=index,
            prompt=f"Email {index}",
            wanted="repair",
            outcome=word,
        )
    services.store_verdict(evaluation)
    return evaluation


def page(client, evaluation: Evaluation, query: str = "") -> str:
    """The page with white space collapsed, as a browser shows it."""
    url = f"/goals/{evaluation.goal_id}/evaluation/{evaluation.pk}/{query}"
    return " ".join(client.get(url).content.decode().split())


@pytest.mark.parametrize(
    ("counts", "headline", "next_step"),
    [
        ((41, 12, 7), "Yes, consistently better.", "Chat with both"),
        ((34, 10, 16), "Better on average, not consistently.", "Chat with both"),
        ((7, 2, 4), "Too few to tell.", "Add examples"),
        ((0, 100, 0), "No real difference.", "Look at the examples"),
        ((6, 10, 44), "No, it is worse than the base model.", "Look at the examples"),
    ],
)
def test_each_verdict_leads_to_the_step_that_helps(
    as_owner, evaluation, counts, headline, next_step
):
    evaluation.general = GREEN
    shown = page(as_owner, fill(evaluation, *counts))
    assert headline in shown
    (primary,) = re.findall(r'class="btn primary"[^>]*>([^<]*)<', shown)
    assert primary.strip() == next_step


def test_a_test_in_8_bits_says_so(as_owner, evaluation):
    shown = page(as_owner, fill(evaluation, 41, 12, 7))
    assert "rounded to 8 bits" not in shown
    evaluation.number_format = "int8"
    evaluation.save()
    assert "Weights rounded to 8 bits" in page(as_owner, evaluation)


def test_too_few_prompts_show_empty_marks_for_those_needed(evaluation):
    verdict = compute_verdict([PairedOutcome(1)] * 7 + [PairedOutcome(-1)] * 4, "green")
    evaluation.verdict = asdict(verdict)
    marks = presenters.verdict_context(evaluation, "/")["marks"]
    assert f"{verdict.more_prompts_needed} more to settle it" in marks


def test_a_settled_verdict_has_no_empty_marks(evaluation):
    assert (
        "to settle it" not in presenters.verdict_context(fill(evaluation, 41, 12, 7), "/")["marks"]
    )


def test_notes_shown_elsewhere_are_not_repeated(evaluation):
    evaluation.general, evaluation.looks = GREEN, 5
    fill(evaluation, 41, 12, 7)
    assert any(note.startswith("General ability") for note in evaluation.verdict["notes"])
    assert presenters.verdict_context(evaluation, "/")["notes"] == []


def test_a_good_prompt_that_does_as_well_is_prominent(as_owner, evaluation):
    fill(evaluation, 41, 12, 7)
    evaluation.verdict |= {
        "versus_prompt": "not_better",
        "notes": ["Your tuned model is not better than a prompt."],
    }
    evaluation.save()
    prompted = evaluation.others.get()
    note = "Your tuned model is not better than a prompt."
    assert f"{note} A good prompt costs nothing" not in page(as_owner, evaluation)
    evaluation.answers.filter(candidate=evaluation.base).update(candidate=prompted, passed=True)
    assert f"{note} A good prompt costs nothing" in page(as_owner, evaluation)


def test_the_same_is_both_right_or_both_wrong(evaluation):
    context = presenters.sides_context(fill(evaluation, 0, 2, 0), "", "", -1)
    assert [row["small"] for row in context["rows"]] == ["both right", "both wrong"]


def test_graded_ties_are_called_as_close(evaluation):
    fill(evaluation, 0, 1, 0)
    evaluation.answers.filter(candidate=evaluation.base).update(passed=False)
    (row,) = presenters.sides_context(evaluation, "", "", -1)["rows"]
    assert row["small"] == "as close"


def test_only_long_answers_are_folded(as_owner, evaluation):
    fill(evaluation, 1, 0, 0)
    assert "Read it all" not in page(as_owner, evaluation)
    evaluation.answers.filter(candidate=evaluation.base).update(text="I am sorry. " * 40)
    assert page(as_owner, evaluation).count("Read it all") == 1


def test_an_empty_answer_is_labelled(as_owner, evaluation):
    fill(evaluation, 1, 0, 0)
    evaluation.answers.filter(candidate=evaluation.base).update(text=" ")
    assert "It said nothing." in page(as_owner, evaluation)


def test_differences_are_marked_unless_a_person_decides(evaluation):
    fill(evaluation, 1, 0, 0)
    (row,) = presenters.sides_context(evaluation, "", "", -1)["rows"]
    assert row["base"]["shown"]["parts"] == [{"text": "return", "off": True}]
    evaluation.measure = "choice"
    (row,) = presenters.sides_context(evaluation, "", "", -1)["rows"]
    assert row["base"]["shown"]["parts"] == [{"text": "return", "off": False}]


def test_the_not_judged_filter_appears_only_when_needed(evaluation):
    fill(evaluation, 2, 1, 1)
    words = [
        (word, count)
        for word, _label, count in presenters.sides_context(evaluation, "", "", -1)["filters"]
    ]
    assert words == [("", 4), ("better", 2), ("same", 1), ("worse", 1)]
    evaluation.comparisons.filter(outcome="same").update(outcome="open")
    filters = presenters.sides_context(evaluation, "", "", -1)["filters"]
    assert filters[-1] == ("open", "Not judged", 1)


def test_a_filter_shows_only_its_prompts(as_owner, evaluation):
    fill(evaluation, 1, 0, 1)
    shown = page(as_owner, evaluation, "?outcome=worse")
    assert "Email 1" in shown
    assert "Email 0" not in shown


def test_everyday_answers_come_after_the_instructions(as_owner, evaluation):
    answers = [
        {"prompt": f"Question {n}", "base": "Yes.", "tuned": "topic: repair\ndue: today"}
        for n in range(30)
    ]
    evaluation.general = {
        "level": "red",
        "sentence": "Lost.",
        "instructions": 20,
        "answers": answers,
    }
    evaluation.save()
    fill(evaluation, 41, 12, 7)
    shown = page(as_owner, evaluation)
    assert "Question 20" in shown
    assert "Question 25" in shown
    assert "Question 19" not in shown
    assert "Question 26" not in shown
    assert "ask it something that has nothing to do with your task" in shown


def test_a_poll_does_not_replace_the_buttons(as_owner, evaluation):
    evaluation.comparisons.all().delete()
    evaluation.job.state, evaluation.job.done, evaluation.job.total = "running", 1, 4
    evaluation.job.save()
    url = f"/goals/{evaluation.goal_id}/evaluation/{evaluation.pk}/"
    headers = {"HX-Request": "true", "HX-Target": "live"}
    same = as_owner.get(f"{url}?seen=running", headers=headers).content.decode()
    assert "1 of 4 answers" in same
    assert 'id="actions"' not in same
    changed = as_owner.get(f"{url}?seen=queued", headers=headers).content.decode()
    assert 'id="actions"' in changed
    assert "/stop/" in changed

"""Every prompt with all answers: complete, exact as JSON lines, safe as a spreadsheet."""

import csv
import io
import json
import time
import tracemalloc

import pytest

from finetune_app.evaluation.models import Answer, Comparison, Evaluation
from finetune_app.evaluation.report.answers import BATCH, answer_pieces
from finetune_app.evaluation.report.contents import report_of
from finetune_app.evaluation.report.html import html_report
from finetune_app.evaluation.services import store_verdict
from finetune_app.providers.models import Endpoint
from tests.factories import World, build_world

FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(A1)", "\tx"]


@pytest.fixture
def world(team, owner) -> World:
    return build_world(team, owner)


@pytest.fixture
def evaluation(world) -> Evaluation:
    return world.evaluation


def table(evaluation: Evaluation) -> list[list[str]]:
    text = b"".join(answer_pieces(evaluation, "csv")).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline="")))


def records(evaluation: Evaluation) -> list[dict]:
    lines = b"".join(answer_pieces(evaluation, "jsonl")).decode().splitlines()
    return [json.loads(line) for line in lines]


def test_the_table_has_every_prompt_and_everything_that_answered(evaluation):
    head, *rows = table(evaluation)
    assert head[:4] == ["number", "prompt", "wanted", "result"]
    assert head[4::3] == [
        "Base model",
        "With a good prompt",
        "Tuned",
        "Repeating the question",
        "Always the commonest answer",
        "Judge: Elsewhere",
    ]
    assert head[5:7] == ["Base model: right", "Base model: why"]
    assert len(rows) == evaluation.comparisons.count()
    first = dict(zip(head, rows[0], strict=True))
    assert first["number"] == "1"
    assert first["wanted"] == "repair_status"
    assert first["Tuned"] == "repair_status"
    assert (first["Tuned: right"], first["Base model: right"]) == ("yes", "no")


def test_json_lines_say_who_answered_what_and_why(evaluation):
    evaluation.answers.filter(candidate=evaluation.base).update(why="Topic differs")
    first = records(evaluation)[0]
    assert first["result"] == "better"
    base, prompt, tuned, *trivial = first["answers"]
    assert (base["by"], base["kind"], base["why"]) == ("Base model", "base", "Topic differs")
    assert (tuned["right"], tuned["score"]) == (True, 1.0)
    assert prompt["prompt_tokens"] == 180
    assert [one["kind"] for one in trivial] == ["no model", "no model"]


def test_a_graded_measure_has_a_score(evaluation):
    evaluation.measure = "close"
    evaluation.answers.filter(candidate=evaluation.ours).update(score=0.25)
    head, first, *_rest = table(evaluation)
    assert dict(zip(head, first, strict=True))["Tuned: score"] == "0.2500"


def test_where_people_decided_there_is_no_right_and_wrong(evaluation):
    evaluation.measure = "choice"
    evaluation.trivial_answers.all().delete()
    head = ["Base model", "With a good prompt", "Tuned", "Judge: Elsewhere"]
    assert table(evaluation)[0][4:] == head


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_is_run_by_a_spreadsheet(evaluation, formula):
    evaluation.comparisons.update(prompt=formula, wanted=formula)
    evaluation.answers.update(text=formula, why=formula)
    prompt = evaluation.others.get()
    prompt.name, prompt.base_model, prompt.endpoint = formula, None, _endpoint(evaluation)
    prompt.save()
    cells = [cell for row in table(evaluation) for cell in row]
    assert f"'{formula}" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert records(evaluation)[0]["prompt"] == formula  # exact


def _endpoint(evaluation: Evaluation) -> Endpoint:
    return evaluation.goal.team.endpoints.get()


def test_two_candidates_of_one_name_have_columns_of_their_own(evaluation):
    prompt = evaluation.others.get()
    prompt.pk = None
    prompt.save()
    evaluation.others.add(prompt)
    head = table(evaluation)[0]
    assert "With a good prompt" in head
    assert "With a good prompt 2" in head
    assert len(head) == len(set(head))


@pytest.fixture
def large(evaluation) -> Evaluation:
    """5,000 prompts, each with two answers of 2,000 characters."""
    evaluation.comparisons.all().delete()
    evaluation.answers.all().delete()
    evaluation.trivial_answers.all().delete()
    evaluation.others.clear()
    text = "مرحبا Hello 🚲 " * 140
    for start in range(0, 5000, 500):
        places = range(start, start + 500)
        Comparison.objects.bulk_create(
            Comparison(
                evaluation=evaluation,
                index=at,
                prompt=f"{at} {text}",
                wanted="yes",
                outcome=("better", "same", "worse")[at % 3],
            )
            for at in places
        )
        Answer.objects.bulk_create(
            Answer(
                evaluation=evaluation,
                candidate=candidate,
                index=at,
                row=at,
                text=text,
                passed=candidate == evaluation.ours,
                score=0.5,
            )
            for at in places
            for candidate in (evaluation.base, evaluation.ours)
        )
    store_verdict(evaluation)
    return evaluation


def test_5000_prompts_take_little_memory(large):
    for form in ("csv", "jsonl"):
        started, lines, most = time.monotonic(), 0, 0
        tracemalloc.start()
        try:
            for piece in answer_pieces(large, form):
                lines += piece.count(b"\n")
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert lines == 5000 + (form == "csv")
        assert most < 30e6  # all of it is 60 MB; BATCH prompts are read at once
        assert time.monotonic() - started < 60
    assert BATCH < 1000


def test_the_report_of_5000_prompts_stays_small(large):
    started = time.monotonic()
    page = html_report(report_of(large))
    assert len(page) < 150_000
    assert page.count('class="example ') == 10
    assert time.monotonic() - started < 30

"""Finishing an evaluation job: from answers to a verdict."""

import json

import pytest

from finetune_app.evaluation import held_out
from finetune_app.evaluation.models import Answer, Evaluation
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job
from tests import journey


def outcomes(evaluation: Evaluation) -> list[str]:
    return list(evaluation.comparisons.values_list("outcome", flat=True))


def test_finishing_compares_every_prompt_and_stores_the_verdict(tested):
    total = tested.version.counts["test"]
    assert outcomes(tested) == ["better"] * total
    first = tested.comparisons.first()
    assert first.prompt
    assert first.wanted.startswith("topic: ")
    verdict = tested.verdict
    assert (verdict["wins"], verdict["ties"], verdict["losses"]) == (total, 0, 0)
    assert json.loads(json.dumps(verdict)) == verdict


def test_worse_and_same_are_distinguished(trained, owner):
    def say(prompt, kind):
        right = {0: kind == "base", 1: True}.get(prompt.index, False)
        return ("yes" if right else "no", right)

    evaluation = journey.evaluated(trained, owner, say=say)
    assert outcomes(evaluation)[:3] == ["worse", "same", "same"]
    assert evaluation.verdict["losses"] == 1
    assert evaluation.verdict["level"] != "consistently_better"


def test_the_verdict_compares_with_the_prompt_baseline_too(trained, owner):
    def a_prompt_is_enough(prompt, kind):
        return (prompt.wanted, True) if kind == "prompt" else ("no", False)

    evaluation = journey.evaluated(trained, owner, say=a_prompt_is_enough, instructions="Sort it.")
    assert evaluation.verdict["versus_prompt"] == "not_better"


def test_a_baseline_that_could_not_be_asked_is_not_beaten(trained, owner):
    """Its prompt was too long for the model, which says nothing about either of them."""
    evaluation = journey.begun(trained, owner, instructions="Sort it.")
    journey.answer_all(evaluation, journey.tuned_is_right)
    baseline = evaluation.prompt_baseline()
    evaluation.answers.filter(candidate=baseline).update(refused=True, text="")
    journey.finish(evaluation)
    evaluation.refresh_from_db()
    assert evaluation.verdict["level"] == "consistently_better"
    assert evaluation.verdict["versus_prompt"] is None
    assert any("could not be asked" in note for note in evaluation.verdict["notes"])


def test_a_repeated_finish_changes_nothing(tested):
    before = (outcomes(tested), tested.verdict, tested.looks)
    formats = {str(tested.ours_id): "bf16", str(tested.base_id): "bf16"}
    journey.end(tested.job, number_formats=formats)
    tested.refresh_from_db()
    assert (outcomes(tested), tested.verdict, tested.looks) == before
    assert tested.ours.number_format == "fp32"


def test_a_repeated_answer_event_is_stored_once(tested):
    answers = Answer.objects.count()
    journey.answer_all(tested, journey.tuned_is_right)
    assert Answer.objects.count() == answers


def test_a_stopped_evaluation_has_no_verdict_and_continues_where_it_was(trained, owner):
    evaluation = journey.begun(trained, owner)
    first = held_out.read_test_prompts(evaluation.version)[0]
    event = {
        "event": "answer",
        "candidate": evaluation.base_id,
        "row": first.row,
        "index": 0,
        "text": "no",
        "passed": False,
        "score": 0.0,
    }
    handler_for(evaluation.job).record(evaluation.job, event)
    journey.end(evaluation.job, stopped=True)
    evaluation.refresh_from_db()
    assert evaluation.verdict == {}
    assert not evaluation.comparisons.exists()
    spec = handler_for(evaluation.job).child_spec(evaluation.job).spec
    assert spec["answered"] == [[evaluation.base_id, first.row]]


def test_the_child_spec_is_complete(trained, owner, data_dir):
    evaluation = journey.begun(trained, owner, instructions="Sort it.")
    spec = handler_for(evaluation.job).child_spec(evaluation.job).spec
    assert json.loads(json.dumps(spec)) == spec
    assert [c["name"] for c in spec["candidates"]] == ["base", "prompt", "tuned"]
    assert spec["candidates"][2]["adapter"] == str(data_dir / trained.adapter_folder)
    assert {c["number_format"] for c in spec["candidates"]} == {""}, (
        "no candidate was tested before"
    )
    assert len({c["base_model"] for c in spec["candidates"]}) == 1
    assert spec["general"] is True


def test_a_candidate_keeps_its_number_format(tested, trained, owner):
    again = journey.begun(trained, owner)
    candidates = handler_for(again.job).child_spec(again.job).spec["candidates"]
    assert [one["number_format"] for one in candidates] == ["fp32", "fp32"]


def test_the_candidates_are_frozen(tested):
    assert tested.base.frozen_at
    assert tested.ours.frozen_at


def test_the_general_check_of_the_tuned_candidate_is_used(trained, owner):
    evaluation = journey.begun(trained, owner)
    event = {"event": "general", "level": "red", "sentence": "It forgot how to write."}
    handler_for(evaluation.job).record(evaluation.job, event | {"candidate": evaluation.ours_id})
    handler_for(evaluation.job).record(
        evaluation.job, event | {"candidate": 12345, "level": "green"}
    )
    journey.answer_all(evaluation, journey.tuned_is_right)
    journey.finish(evaluation)
    evaluation.refresh_from_db()
    assert evaluation.general["level"] == "red"
    assert evaluation.verdict["level"] != "consistently_better"


@pytest.mark.parametrize("who", ["as_viewer", "as_owner"])
def test_every_team_member_can_read_the_verdict(request, who, tested, url):
    page = request.getfixturevalue(who).get(url("detail", tested.pk)).content.decode()
    assert tested.verdict["headline"] in page
    assert "I am not sure." in page
    assert Job.objects.filter(kind="evaluation").count() == 1

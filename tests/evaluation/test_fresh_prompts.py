"""Test prompts that were added later are a first look again, for the model that is there."""

import pytest

from finetune_app.datasets import services as datasets
from finetune_app.datasets.models import Example, Split
from finetune_app.evaluation.candidate_selection import EvaluationInputs
from finetune_app.evaluation.held_out import read_test_prompts
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.prompt_selection import all_prompts, fresh_prompts
from finetune_app.versions import services as versions
from tests import journey
from tests.example_rows import conversation, pair

START = {"from_page": "1", "with_prompt": "on", "with_tuned": "on", "instructions": "Sort."}


def add_test_rows(goal, by, *numbers: int) -> list[int]:
    """Freeze a version with these rows held back; returns their ids in it."""
    rows = [{"messages": conversation(*pair(n)), "split": "test"} for n in numbers]
    dataset = datasets.dataset_of(goal)
    last = dataset.last_number
    datasets.add_rows(dataset=dataset, by=by, rows=rows, source="fresh.csv")
    versions.freeze(dataset=dataset, by=by)
    return list(dataset.examples.filter(number__gt=last).values_list("number", flat=True))


@pytest.fixture
def fresh_rows(tested, goal, owner) -> list[int]:
    return sorted(add_test_rows(goal, owner, *range(100, 112)))


def test_before_anything_was_seen_there_is_nothing_to_choose(trained, goal):
    inputs = EvaluationInputs.for_goal(goal)
    assert all_prompts(inputs).looks == 0
    assert fresh_prompts(inputs) is None


def test_prompts_added_after_a_test_are_fresh(goal, trained, fresh_rows):
    inputs = EvaluationInputs.for_goal(goal)
    fresh = fresh_prompts(inputs)
    assert sorted(fresh.rows) == fresh_rows
    assert fresh.version.number == trained.version.number + 1
    assert inputs.version == trained.version, "the model need not be trained again"
    assert all_prompts(inputs).looks == 1


def test_what_the_model_learned_from_is_not_fresh(goal, owner, tested):
    learned = Example.objects.filter(dataset__goal=goal, split=Split.TRAIN).first()
    Example.objects.filter(pk=learned.pk).update(split=Split.TEST)
    rows = add_test_rows(goal, owner, 100, 101)
    assert sorted(fresh_prompts(EvaluationInputs.for_goal(goal)).rows) == rows


@pytest.fixture
def imported_again(tested, goal, owner):
    """All rows were deleted and the same file came in again: they have new numbers."""
    dataset = datasets.dataset_of(goal)
    kept = [{"messages": row.messages, "split": row.split} for row in dataset.examples.all()]
    dataset.examples.all().delete()
    datasets.add_rows(dataset=dataset, by=owner, rows=kept, source="emails.csv")
    version, _new = versions.freeze(dataset=dataset, by=owner)
    numbers = {prompt.row for prompt in read_test_prompts(version)}
    assert numbers
    assert not numbers & set(goal.looks.get().rows)
    return version


def test_questions_that_were_seen_are_not_fresh_under_new_numbers(
    as_editor, goal, url, imported_again
):
    assert fresh_prompts(EvaluationInputs.for_goal(goal)) is None
    assert "fresh ones" not in as_editor.get(url("page") + "?new").content.decode()


def test_only_new_questions_are_fresh_beside_those_imported_again(goal, owner, imported_again):
    rows = add_test_rows(goal, owner, 100, 101)
    assert sorted(fresh_prompts(EvaluationInputs.for_goal(goal)).rows) == rows


def test_a_model_of_the_rows_imported_again_is_tested_at_a_second_look(goal, owner, imported_again):
    training = journey.trained(goal, owner, weights="another")
    assert training.version == imported_again
    assert journey.evaluated(training, owner).looks == 2


def test_the_fresh_prompts_are_offered_and_asked_alone(as_editor, url, fresh_rows):
    page = as_editor.get(url("page") + "?new").content.decode()
    assert "The 12 fresh ones" in page
    as_editor.post(url("start"), START | {"prompts": "fresh"})
    evaluation = Evaluation.objects.latest("pk")
    assert evaluation.looks == 1
    assert sorted(prompt.row for prompt in evaluation.test_prompts()) == fresh_rows
    journey.answer_all(evaluation, journey.tuned_is_right)
    journey.finish(evaluation)
    evaluation.refresh_from_db()
    assert evaluation.verdict["wins"] == 12
    assert not any("been seen" in note for note in evaluation.verdict["notes"])


def test_the_whole_test_set_can_still_be_asked(as_editor, url, fresh_rows, trained):
    as_editor.post(url("start"), START | {"prompts": "all"})
    evaluation = Evaluation.objects.latest("pk")
    assert evaluation.version == trained.version
    assert evaluation.test_rows == []


def test_once_seen_they_are_fresh_no_longer(as_editor, goal, url, fresh_rows):
    as_editor.post(url("start"), START | {"prompts": "fresh"})
    evaluation = Evaluation.objects.latest("pk")
    journey.answer_all(evaluation, journey.tuned_is_right)
    journey.finish(evaluation)
    assert fresh_prompts(EvaluationInputs.for_goal(goal)) is None
    page = as_editor.get(url("page") + "?new").content.decode()
    assert "Add fresh prompts" in page


def test_the_child_reads_only_the_chosen_rows(as_editor, url, fresh_rows):
    from finetune_app.core.files import local_path
    from finetune_app.jobs.handlers import handler_for
    from worker.evaluation.inputs import read_test_rows

    as_editor.post(url("start"), START | {"prompts": "fresh"})
    evaluation = Evaluation.objects.latest("pk")
    spec = handler_for(evaluation.job).child_spec(evaluation.job).spec
    rows = read_test_rows(local_path(evaluation.version.stored_name), spec["test_rows"])
    asked = evaluation.test_prompts()
    assert [(row.row, row.index) for row in rows] == [(one.row, one.index) for one in asked]


def test_another_team_cannot_test_on_them(as_stranger, as_viewer, url, fresh_rows):
    assert as_stranger.post(url("start"), START | {"prompts": "fresh"}).status_code == 404
    assert as_viewer.post(url("start"), START | {"prompts": "fresh"}).status_code == 403

"""Test prompts that a model has learned, or suggested the answer of, are left out of its test."""

import pytest
from django.utils import timezone

from finetune_app.candidates import services as candidates
from finetune_app.candidates.models import Candidate
from finetune_app.core.errors import PlainError
from finetune_app.datasets import services as datasets
from finetune_app.datasets.models import Example, Split, Suggestion
from finetune_app.datasets.services.locking import mark_changed
from finetune_app.evaluation import services as evaluations
from finetune_app.evaluation.candidate_selection import EvaluationInputs, create_candidates
from finetune_app.evaluation.held_out import learned_rows, read_test_prompts
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.prompt_baseline import BaselinePrompt
from finetune_app.evaluation.prompt_selection import fresh_prompts
from finetune_app.goals.models import Goal
from finetune_app.providers.models import Endpoint
from finetune_app.training import services as trainings
from finetune_app.training.models import Training
from finetune_app.training.services import newest_version
from finetune_app.versions import services as versions
from tests import journey
from tests.evaluation.test_fresh_prompts import add_test_rows
from tests.example_rows import conversation, pair
from tests.tool_rows import TOOLS

LEARNED = "3 prompts of the test were left out: a model that takes part has learned from them."
TOOLS_LEFT_OUT = (
    "2 prompts of the test were left out: they have tools, and models elsewhere are asked without "
    "tools here."
)
SUGGESTED = "2 prompts of the test were left out: a model that takes part suggested their answers"


def move_to_test(goal: Goal, by, count: int) -> set[int]:
    """Move rows that were learned to the test, and freeze; returns their numbers."""
    learned = Example.objects.filter(dataset__goal=goal, split=Split.TRAIN)
    numbers = set(learned.values_list("number", flat=True)[:count])
    Example.objects.filter(dataset__goal=goal, number__in=numbers).update(split=Split.TEST)
    versions.freeze(dataset=datasets.dataset_of(goal), by=by)
    return numbers


def gone_on_from(training: Training, by, goal: Goal | None = None) -> Training:
    """A training that goes on from this one, with the newest version of its goal."""
    goal = goal or training.goal
    return journey.trained(goal, by, weights=f"after {training.pk}", starts_from=training)


def rows_asked(evaluation: Evaluation) -> set[int]:
    return {prompt.row for prompt in evaluation.test_prompts()}


def held_out_rows(training: Training) -> set[int]:
    return {prompt.row for prompt in read_test_prompts(training.version)}


@pytest.fixture
def further(trained, goal, owner) -> tuple[Training, set[int]]:
    """A training that goes on from another one, in whose test lie rows which that one learned."""
    moved = move_to_test(goal, owner, 3)
    return gone_on_from(trained, owner), moved


@pytest.fixture
def far(trained, team) -> Candidate:
    """A candidate that answers elsewhere."""
    endpoint = Endpoint.objects.create(
        team=team, name="Far", url="http://127.0.0.1:1", model="m", consented_at=timezone.now()
    )
    return candidates.prompt_candidate(
        goal=trained.goal, endpoint=endpoint, instructions="Sort.", shots=[]
    )


def test_what_an_earlier_training_learned_is_not_asked(further, owner):
    training, moved = further
    asked = rows_asked(journey.begun(training, owner))
    assert asked == held_out_rows(training) - moved
    assert len(asked) >= 5


def test_the_page_and_the_report_say_how_many_and_why(further, owner, as_viewer, url):
    training, _moved = further
    evaluation = journey.evaluated(training, owner)
    assert LEARNED in as_viewer.get(url("detail", evaluation.pk)).content.decode()
    report = as_viewer.get(url("download", evaluation.pk, "html")).content.decode()
    assert LEARNED in report
    assert "on which nobody had seen results yet" not in report  # all others were asked


def test_prompts_that_were_not_chosen_are_not_said_to_be_left_out(further, goal, owner):
    """The learned ones lie in the test, but only fresh ones are asked."""
    training, _moved = further
    fresh = add_test_rows(goal, owner, 100, 101)
    taking_part = create_candidates(
        EvaluationInputs.for_goal(goal, training), prompt=BaselinePrompt("", []), keys=["tuned"]
    )
    evaluation = evaluations.start(
        goal=goal,
        version=newest_version(goal),
        candidates=taking_part,
        user=owner,
        test_rows=fresh,
    )
    assert rows_asked(evaluation) == set(fresh)
    assert not any(evaluation.left_out.values())
    assert evaluation.asks_fresh_only


def test_it_is_known_after_the_earlier_training_was_deleted(further, trained, owner):
    training, moved = further
    trainings.delete(training=trained)
    training.refresh_from_db()
    assert training.starts_from is None
    assert not rows_asked(journey.begun(training, owner)) & moved


def test_rows_of_another_dataset_are_known_by_their_question(trained, team, owner):
    """A model is trained further on other data, in whose test lies what it learned before."""
    learned = Example.objects.filter(dataset__goal=trained.goal, split=Split.TRAIN).first()
    other = Goal.objects.create(team=team, name="Further", measure="exact")
    rows = [{"messages": conversation(*pair(n)), "split": "train"} for n in range(100, 115)]
    rows += [{"messages": conversation(*pair(n)), "split": "test"} for n in range(120, 125)]
    shouted = conversation(learned.prompt.upper(), learned.answer)
    rows.append({"messages": shouted, "split": "test"})
    datasets.add_rows(dataset=datasets.dataset_of(other), by=owner, rows=rows, source="job 2")
    versions.freeze(dataset=datasets.dataset_of(other), by=owner)
    journey.ready(other, owner, trained.base_model)
    evaluation = journey.begun(gone_on_from(trained, owner, other), owner)
    asked = {prompt.prompt for prompt in evaluation.test_prompts()}
    assert asked == {pair(n)[0] for n in range(120, 125)}


def test_a_learned_row_is_known_though_a_word_was_edited(goal, owner, tested):
    learned = Example.objects.filter(dataset__goal=goal, split=Split.TRAIN).first()
    learned.set_messages(conversation(f"{learned.prompt} Thanks!", learned.answer))
    learned.split = Split.TEST
    learned.save()
    fresh = add_test_rows(goal, owner, 100, 101)
    assert sorted(fresh_prompts(EvaluationInputs.for_goal(goal)).rows) == fresh


def test_where_nothing_is_left_it_says_what_to_do(further, goal, owner, as_editor, url):
    training, moved = further
    unseen = Example.objects.filter(dataset__goal=goal, split=Split.TEST).exclude(number__in=moved)
    unseen.update(split=Split.TRAIN)
    versions.freeze(dataset=goal.dataset, by=owner)
    latest = gone_on_from(training, owner)
    reply = as_editor.post(url("start"), {"training": latest.pk})
    assert reply.status_code == 400
    assert "Add examples that no model has seen" in reply.content.decode()
    assert not Evaluation.objects.exists()
    fresh = add_test_rows(goal, owner, 100, 101)
    as_editor.post(url("start"), {"training": latest.pk})
    assert rows_asked(Evaluation.objects.get()) == set(fresh)


def test_the_same_test_is_not_run_twice(further, as_editor, url):
    as_editor.post(url("start"))
    evaluation = Evaluation.objects.get()
    journey.answer_all(evaluation, journey.tuned_is_right)
    journey.finish(evaluation)
    reply = as_editor.post(url("start"))
    assert reply.url == url("detail", evaluation.pk)
    assert Evaluation.objects.count() == 1


def test_an_example_in_the_prompt_is_not_asked_as_well(as_editor, trained, url):
    prompt = read_test_prompts(trained.version)[0]
    shown = {"prompt": "What are your hours?", "answer": "topic: hours"}
    candidates.save_version(
        goal=trained.goal,
        base_model=trained.base_model,
        endpoint=None,
        instructions="Sort.",
        shots=[{"prompt": prompt.prompt.upper(), "answer": prompt.wanted}, shown],
        sampling={},
    )
    as_editor.post(url("start"))
    evaluation = Evaluation.objects.get()
    assert evaluation.prompt_baseline().shots == [shown]
    assert prompt.row in rows_asked(evaluation)


# ---- Answers that a model suggested ----


def suggest(training: Training, candidate_id: int, **counts: int) -> None:
    """Suggestions for test rows, made before they came there: `state` -> how many."""
    numbers = iter(sorted(held_out_rows(training)))
    for state, count in counts.items():
        for _one in range(count):
            example = Example.objects.get(dataset=training.version.dataset, number=next(numbers))
            Suggestion.objects.create(
                example=example,
                answer=example.answer,
                source="Tuned",
                candidate_id=candidate_id,
                state=state,
            )


def test_answers_that_a_tested_model_suggested_are_not_asked(trained, owner, as_viewer, url):
    """Neither those that were accepted nor those that were corrected: only the ones on which it
    was wrong would stay."""
    tuned = candidates.tuned_candidate(training=trained)
    suggest(trained, tuned.pk, taken=1, dismissed=1)
    evaluation = journey.evaluated(trained, owner)
    first, second = sorted(held_out_rows(trained))[:2]
    assert rows_asked(evaluation) == held_out_rows(trained) - {first, second}
    assert SUGGESTED in as_viewer.get(url("detail", evaluation.pk)).content.decode()


def test_the_same_model_under_other_instructions_counts_as_well(trained, owner):
    told = candidates.prompt_candidate(
        goal=trained.goal, base_model=trained.base_model, instructions="Sort.", shots=[]
    )
    suggest(trained, told.pk, taken=2)
    assert len(rows_asked(journey.begun(trained, owner))) == len(held_out_rows(trained)) - 2


def test_suggestions_of_a_model_that_is_not_tested_do_no_harm(trained, far, owner):
    suggest(trained, far.pk, taken=2)
    assert rows_asked(journey.begun(trained, owner)) == held_out_rows(trained)


# ---- Rows that belong together ----


def of_customers(first: int, count: int, split: Split, *customers: str) -> list[dict]:
    return [
        {
            "messages": conversation(*pair(first + n)),
            "split": split,
            "group": customers[n % len(customers)],
        }
        for n in range(count)
    ]


def learned_of_two_customers(goal: Goal, by) -> Training:
    """A training that has learned from rows of X and Y, all of which were deleted afterwards."""
    dataset = datasets.dataset_of(goal)
    rows = of_customers(0, 60, Split.TRAIN, "X", "Y") + of_customers(60, 10, Split.TEST, "Z")
    datasets.add_rows(dataset=dataset, by=by, rows=rows, source="emails.csv")
    training = journey.trained(journey.ready(goal, by), by)
    dataset.examples.all().delete()
    return training


def freeze_for_the_test(goal: Goal, by, *customers: str) -> None:
    dataset = datasets.dataset_of(goal)
    rows = of_customers(99, 1, Split.TRAIN, "") + of_customers(100, 60, Split.TEST, *customers)
    datasets.add_rows(dataset=dataset, by=by, rows=rows, source="later.csv")
    versions.freeze(dataset=dataset, by=by)


def begun_on_the_newest(training: Training, by) -> Evaluation:
    goal = training.goal
    inputs = EvaluationInputs.for_goal(goal, training)
    taking_part = create_candidates(inputs, prompt=BaselinePrompt("", []), keys=["tuned"])
    return evaluations.start(
        goal=goal, version=newest_version(goal), candidates=taking_part, user=by
    )


def test_other_rows_of_a_customer_it_learned_from_are_not_asked(goal, owner):
    training = learned_of_two_customers(goal, owner)
    freeze_for_the_test(goal, owner, "X", "new", "", "")
    evaluation = begun_on_the_newest(training, owner)
    assert {prompt.group for prompt in evaluation.test_prompts()} == {"new", ""}
    assert len(evaluation.test_prompts()) == 45
    assert evaluation.left_out["learned"] == 15


def test_customers_it_was_only_tested_on_are_asked_again(goal, owner):
    training = learned_of_two_customers(goal, owner)
    freeze_for_the_test(goal, owner, "Z")
    assert begun_on_the_newest(training, owner).prompt_count == 60


def test_a_group_of_another_goal_may_have_the_same_name(goal, owner, team):
    """ "Customer 1" of another dataset is somebody else."""
    other = Goal.objects.create(team=team, name="Name bikes")
    earlier = learned_of_two_customers(goal, owner).version
    freeze_for_the_test(other, owner, "X")
    assert learned_rows(newest_version(other), [earlier]) == set()


# ---- Prompts with tools, where a model elsewhere takes part ----


def give_tools(training: Training, count: int | None = None) -> set[int]:
    """Give tools to test rows, or to all, and freeze; returns their numbers."""
    numbers = set(sorted(held_out_rows(training))[:count])
    dataset = training.version.dataset
    dataset.examples.filter(number__in=numbers).update(tools=TOOLS)
    mark_changed(dataset)
    versions.freeze(dataset=dataset, by=training.version.created_by)
    return numbers


def begun_with(training: Training, *others: Candidate) -> Evaluation:
    base = candidates.base_candidate(goal=training.goal, base_model=training.base_model)
    return evaluations.start(
        goal=training.goal,
        version=newest_version(training.goal),
        candidates=[base, *others],
        user=training.version.created_by,
    )


def test_prompts_with_tools_are_not_asked_where_a_model_elsewhere_takes_part(trained, far):
    """It could never be asked them, so each would count as lost."""
    tuned = candidates.tuned_candidate(training=trained)
    moved = give_tools(trained, 2)
    evaluation = begun_with(trained, tuned, far)
    assert rows_asked(evaluation) == held_out_rows(trained) - moved
    assert not evaluation.asks_fresh_only
    journey.answer_all(evaluation, journey.tuned_is_right)
    journey.finish(evaluation)
    evaluation.refresh_from_db()
    assert TOOLS_LEFT_OUT in evaluation.verdict["notes"]


def test_models_of_this_machine_are_asked_prompts_with_tools(trained):
    give_tools(trained, 2)
    tuned = candidates.tuned_candidate(training=trained)
    assert rows_asked(begun_with(trained, tuned)) == held_out_rows(trained)


def test_a_model_elsewhere_is_not_tested_on_prompts_with_tools_alone(trained, far):
    give_tools(trained)
    with pytest.raises(PlainError, match="asked without tools"):
        begun_with(trained, far)
    assert not Evaluation.objects.exists()

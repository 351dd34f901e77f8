"""What the bar of steps knows of goals: the newest of each result, of each goal its own."""

import pytest

from finetune_app.accounts.models import Team
from finetune_app.evaluation.models import Evaluation
from finetune_app.guide.step_results import StepResults
from finetune_app.jobs.models import State
from finetune_app.training.models import Training
from tests.factories import build_world
from tests.factories_live import job

pytestmark = pytest.mark.django_db


@pytest.fixture
def worlds(team, owner):
    """Two goals that have gone all the way, of two teams."""
    other = Team.objects.create(name="Lantern")
    return build_world(team, owner), build_world(other, owner)


def train(world, state=State.RUNNING, **fields) -> Training:
    newest = world.goal.trainings.order_by("number").last()
    return Training.objects.create(
        goal=world.goal,
        number=newest.number + 1,
        version=world.version,
        base_model=world.base_model,
        job=job(world.team, "training", state=state, done=3, total=8),
        **fields,
    )


def test_each_goal_has_its_own(worlds):
    one, other = worlds
    found = StepResults([one.goal, other.goal])
    for world in worlds:
        goal = world.goal.pk
        assert found.versions[goal] == world.version
        assert found.versions[goal].counts == world.version.counts
        assert found.base_models[goal] == world.base_model.name
        assert found.trainings[goal].pk == found.trained[goal].pk == world.training.pk
        evaluation = found.evaluations[goal]
        assert evaluation.pk == world.evaluation.pk
        world.evaluation.refresh_from_db()
        assert evaluation.verdict == world.evaluation.verdict
        assert evaluation.created_at == world.evaluation.created_at
        assert evaluation.training_id == world.training.pk
    assert found.live == {one.goal.pk, other.goal.pk}


def test_a_training_under_way_is_the_newest_and_the_one_before_is_still_the_trained_one(worlds):
    world, _other = worlds
    running = train(world)
    found = StepResults([world.goal])
    newest = found.trainings[world.goal.pk]
    assert (newest.pk, newest.has_adapter, newest.version) == (running.pk, False, 1)
    assert newest.job.is_active
    assert (newest.job.done, newest.job.total) == (3, 8)
    assert found.trained[world.goal.pk].pk == world.training.pk


def test_what_was_cancelled_does_not_count(worlds):
    world, _other = worlds
    train(world, State.CANCELLED, adapter_sha256="3" * 64)
    Evaluation.objects.create(
        goal=world.goal,
        version=world.version,
        base=world.evaluation.base,
        ours=world.evaluation.ours,
        measure=world.evaluation.measure,
        job=job(world.team, "evaluation", state=State.CANCELLED),
    )
    found = StepResults([world.goal])
    assert found.trainings[world.goal.pk].pk == world.training.pk
    assert found.evaluations[world.goal.pk].pk == world.evaluation.pk


def test_a_paused_deployment_is_not_live(worlds):
    world, other = worlds
    live = world.goal.deployment
    live.paused_at = live.created_at
    live.save()
    assert StepResults([world.goal, other.goal]).live == {other.goal.pk}


def test_no_goals_ask_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        found = StepResults([])
        assert not found.versions
        assert not found.trainings
        assert not found.evaluations
        assert not found.live

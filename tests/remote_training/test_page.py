"""The page of a training on a platform, and what its model can be used for."""

import pytest
from django.urls import reverse

from finetune_app.candidates.models import CandidateKind
from finetune_app.candidates.selection import candidate_options, option_by_key
from finetune_app.datasets.models import Example, Split
from finetune_app.evaluation import candidate_selection
from finetune_app.evaluation import services as evaluations
from finetune_app.evaluation.prompt_baseline import BaselinePrompt
from finetune_app.providers.models import Endpoint
from finetune_app.versions import services as versions
from tests import journey
from tests.accounts.pages import text as text_of
from tests.remote_training.conftest import step


@pytest.fixture
def done(start, platform):
    training = step(start())
    platform.succeed()
    return step(training)


def page_of(training) -> str:
    return reverse("remote_training:detail", args=[training.goal_id, training.number])


def test_it_tells_what_the_platform_tells(start, platform, as_viewer):
    training = step(start())
    platform.become("running")
    platform.say("The files are checked.")
    platform.say("Step 10", step=10, train_loss=2.5)
    shown = as_viewer.get(page_of(step(training)))
    assert "The files are checked." in shown.text
    assert "running" in shown.text
    assert "l-train" in shown.text  # the curve
    assert "Step 10" not in text_of(shown)


def test_only_the_live_part_is_polled(start, as_viewer):
    training = step(start())
    part = as_viewer.get(page_of(training), headers={"HX-Request": "true"}).text
    assert "<html" not in part
    assert 'hx-trigger="every 5s"' in part


def test_what_runs_can_be_cancelled_by_an_editor(start, as_editor, as_viewer):
    training = step(start())
    stop = reverse("remote_training:stop", args=[training.goal_id, training.number])
    assert stop not in as_viewer.get(page_of(training)).text
    assert as_viewer.post(stop).status_code == 403
    assert stop in as_editor.get(page_of(training)).text
    as_editor.post(stop)
    training.job.refresh_from_db()
    assert training.job.stop_asked


def test_another_team_sees_nothing(start, as_stranger):
    assert as_stranger.get(page_of(start())).status_code == 404


def test_its_model_is_a_tuned_candidate_of_the_goal(done, frozen):
    option = option_by_key(frozen, f"remote-{done.number}")
    candidate = option.get_candidate()
    assert candidate.kind == CandidateKind.TUNED
    assert candidate.endpoint == done.endpoint
    assert not candidate.instructions
    keys = [one.key for one in candidate_options(frozen)]
    assert f"endpoint-{done.endpoint_id}" not in keys  # not a second time


def test_the_model_it_started_from_can_be_compared_too(done, team):
    untuned = Endpoint.objects.get(team=team, model="gpt-4.1-mini")
    assert untuned.url == done.endpoint.url


def test_the_verdict_is_about_the_tuned_model_wherever_it_answers(done, frozen, owner):
    journey.ready(frozen, owner)
    inputs = candidate_selection.EvaluationInputs.for_goal(frozen)
    keys = ["prompt", f"remote-{done.number}"]
    assert set(keys) <= {one.key for one in candidate_selection.candidate_options(inputs)}
    candidates = candidate_selection.create_candidates(
        inputs, prompt=BaselinePrompt("Sort each email.", []), keys=keys
    )
    evaluation = evaluations.start(
        goal=frozen, version=inputs.version, candidates=candidates, user=owner
    )
    assert evaluation.ours.endpoint == done.endpoint
    assert "level" not in evaluation.general  # "not checked", not "as before"
    assert "cannot be measured here" in evaluation.general["sentence"]


def test_what_it_learned_there_is_not_asked(done, frozen, owner):
    """Rows that were sent to it were moved to the test since."""
    learned = Example.objects.filter(dataset__goal=frozen, split=Split.TRAIN)
    moved = set(learned.values_list("number", flat=True)[:3])
    frozen.dataset.examples.filter(number__in=moved).update(split=Split.TEST)
    version, _new = versions.freeze(dataset=frozen.dataset, by=owner)
    journey.ready(frozen, owner)
    evaluation = journey.started(frozen, owner, [f"remote-{done.number}"])
    asked = {prompt.row for prompt in evaluation.test_prompts()}
    assert evaluation.version == version
    assert asked
    assert not asked & moved


def test_the_places_to_train_are_offered(as_editor, frozen, account, done):
    shown = text_of(as_editor.get(reverse("remote_training:where", args=[frozen.pk])))
    assert "This machine" in shown
    assert account.name in shown
    assert f"Training {done.number}" in shown


def test_what_failed_there_is_not_offered_to_go_on(start, platform, as_editor):
    training = step(start(model="gpt-9"))  # refused here, so it may be tried again
    page = reverse("remote_training:continue", args=[training.goal_id, training.number])
    assert page in as_editor.get(page_of(training)).text
    training = step(start())
    platform.become("failed", error={"code": "x", "message": "Row 3 is broken.", "param": None})
    training = step(training)
    page = reverse("remote_training:continue", args=[training.goal_id, training.number])
    assert page not in as_editor.get(page_of(training)).text

"""Deleting a training or a remote model while it answers."""

import pytest
from django.urls import reverse
from django.utils import timezone

from finetune_app.accounts.services import teams
from finetune_app.candidates import services as candidates
from finetune_app.deployment import services
from finetune_app.deployment.models import Deployment
from finetune_app.providers.models import Endpoint
from finetune_app.training.models import Training
from tests.journey import trained


@pytest.fixture
def endpoint(team) -> Endpoint:
    return Endpoint.objects.create(
        team=team,
        name="Elsewhere",
        url="https://models.example/v1",
        model="m",
        consented_at=timezone.now(),
    )


def remote_candidate(goal, endpoint):
    return goal.candidates.create(kind="base", name="Elsewhere", endpoint=endpoint)


def test_a_training_that_is_live_is_not_deleted(live, tuned, as_editor, url):
    reply = as_editor.post(url("training:delete", number=tuned.number))
    assert reply.status_code == 409
    assert f"It is live under {live.name}" in reply.content.decode()
    assert live.current.candidate.training == tuned


def test_a_training_that_answers_some_of_the_conversations_is_not_deleted(
    goal, live, owner, as_editor, url
):
    again = trained(goal, owner, weights="better weights")
    candidate = candidates.tuned_candidate(training=again)
    services.start_canary(deployment=live, candidate=candidate, percent=10, by=owner)
    assert as_editor.post(url("training:delete", number=again.number)).status_code == 409
    services.withdraw(release=live.canary, by=owner)
    assert as_editor.post(url("training:delete", number=again.number)).status_code == 302


def test_a_remote_model_that_is_live_is_not_deleted(goal, live, owner, endpoint, as_owner):
    services.go_live(goal=goal, candidate=remote_candidate(goal, endpoint), by=owner)
    reply = as_owner.post(reverse("providers:delete", kwargs={"endpoint_id": endpoint.pk}))
    assert reply.status_code == 409
    assert live.current.candidate.endpoint == endpoint


def test_a_training_goes_once_another_version_answers(goal, live, tuned, owner, as_editor, url):
    base = candidates.base_candidate(goal=goal, base_model=tuned.base_model)
    services.go_live(goal=goal, candidate=base, by=owner)
    assert as_editor.post(url("training:delete", number=tuned.number)).status_code == 302
    assert live.current.candidate == base


def test_a_team_goes_with_what_is_live(live, team):
    teams.delete_team(team=team)
    assert not Deployment.objects.exists()
    assert not Training.objects.exists()


@pytest.mark.parametrize("canary", [False, True])
def test_a_deployment_without_a_version_says_so_and_goes_live_again(
    goal, live, tuned, owner, as_editor, as_viewer, url, canary
):
    if canary:
        base = candidates.base_candidate(goal=goal, base_model=tuned.base_model)
        services.start_canary(deployment=live, candidate=base, percent=10, by=owner)
    live.releases.exclude(promoted_at=None).delete()  # as earlier releases of Finetune let happen
    for client in (as_editor, as_viewer):
        assert "Nothing answers now" in client.get(url("page")).content.decode()
        assert client.get(url("versions")).status_code == 200
    as_editor.post(url("go_live"), {"candidate": "training-1"})
    assert live.current.candidate.training == tuned

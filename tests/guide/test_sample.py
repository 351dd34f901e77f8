"""The sample goal: created by one click, and ready to train."""

import pytest
from django.urls import reverse

from finetune_app.basemodels.catalogue import STARTER
from finetune_app.basemodels.models import Speed
from finetune_app.core.machine import this_machine
from finetune_app.goals.models import Goal
from finetune_app.guide import services
from finetune_app.guide.progress import progress_of
from finetune_app.guide.sample import sample
from tests import journey

URL = reverse("guide:sample")


@pytest.fixture
def starter(db):
    return journey.install(STARTER)


def test_the_sample_goal_is_ready_to_train(as_editor, editor, team, starter):
    reply = as_editor.post(URL)
    goal = Goal.objects.get()
    assert reply["Location"] == reverse("training:page", args=[goal.pk])
    assert (goal.is_sample, goal.team, goal.created_by) == (True, team, editor)
    assert goal.measure == sample().measure
    version = goal.dataset.versions.get()
    assert version.counts == {"train": 240, "validation": 40, "test": 60}
    (found,) = progress_of([goal])
    assert (found.next.step, found.next.label) == (4, "Train")
    assert as_editor.get(reply["Location"]).status_code == 200


def test_creating_it_twice_gives_two_goals(as_editor, starter):
    as_editor.post(URL)
    as_editor.post(URL)
    one, two = Goal.objects.all()
    assert one.dataset.versions.get().sha256
    assert one.dataset != two.dataset


def test_without_the_starter_model_a_model_is_chosen_next(as_editor):
    reply = as_editor.post(URL)
    assert reply["Location"] == reverse("basemodels:page", args=[Goal.objects.get().pk])
    (found,) = progress_of(Goal.objects.all())
    assert (found.next.step, found.next.label) == (3, "Choose a model")


def test_only_editors_may_create_it(as_viewer, as_owner, client):
    assert as_viewer.post(URL).status_code == 403
    assert as_owner.get(URL).status_code == 405
    assert client.post(URL).status_code == 302  # to the sign-in page
    assert not Goal.objects.exists()


def test_without_a_measurement_the_minutes_are_the_default(db):
    assert services.sample_minutes() == services.DEFAULT_MINUTES


def test_the_minutes_follow_the_newest_measurement(starter):
    tokens = sample().training_tokens
    for minutes in (30, 4):
        Speed.objects.create(
            base_model=starter,
            what="training",
            device=this_machine().device,
            tokens_per_second=tokens * (1 + services.EVALUATION_SHARE) / (minutes * 60 - 30),
        )
    Speed.objects.create(
        base_model=starter, what="evaluation", device=this_machine().device, tokens_per_second=1
    )
    Speed.objects.create(
        base_model=journey.install("other"),
        what="training",
        device=this_machine().device,
        tokens_per_second=1,
    )
    assert services.sample_minutes() == 4


def test_the_home_page_shows_the_minutes(as_editor, starter):
    Speed.objects.create(
        base_model=starter, what="training", device=this_machine().device, tokens_per_second=1e9
    )
    assert "about 1 minute here" in as_editor.get(reverse("guide:home")).content.decode()

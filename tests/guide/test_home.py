"""The home page: every goal with its state, six marks and its next action."""

import html
import re

import pytest
from django.urls import reverse

from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.datasets.services import dataset_of
from finetune_app.evaluation import services as evaluations
from finetune_app.goals import services as goals
from finetune_app.goals.models import Goal
from finetune_app.guide.progress import NextAction, progress_of
from finetune_app.jobs.models import State
from finetune_app.training import services as trainings
from tests import journey
from tests.labelling.helpers import add_answered_rows, add_pending_rows
from tests.page_text import compact

HOME = reverse("guide:home")


def next_action(goal) -> NextAction:
    (found,) = progress_of([Goal.objects.get(pk=goal.pk)])
    return found.next


def assert_next_action(goal, step, label, state) -> None:
    action = next_action(goal)
    assert (action.step, action.label) == (step, label)
    assert state in action.state


def test_an_empty_home_page_offers_to_start(as_editor):
    page = as_editor.get(HOME).content.decode()
    assert "Teach a model something you do every day." in page
    assert reverse("guide:sample") in page
    assert reverse("goals:new") in page


def test_an_empty_home_page_refers_viewers_to_an_owner(as_viewer):
    page = as_viewer.get(HOME).content.decode()
    assert "Ask an owner of the team to make you an editor." in page
    assert reverse("guide:sample") not in page


def test_a_goal_has_a_state_marks_and_an_action(as_viewer, goal, owner):
    journey.ready(goal, owner)
    page = html.unescape(as_viewer.get(HOME).content.decode())
    assert "Ready to train Tiny." in page
    row = compact(page[page.index('<ul class="goals">') : page.index("</ul>")])
    assert "4 of 6 · Training" in row
    assert re.search(r'aria-label="Train: Sort shop emails"', row)
    assert len(re.findall(r"<i\b", row)) >= 6


def test_the_next_action_follows_a_goal_from_start_to_verdict(goal, owner):
    assert_next_action(goal, 1, "Decide", "Not decided yet")
    goals.choose_measure(goal=goal, kind="exact", settings={})
    assert_next_action(goal, 2, "Add examples", "No examples yet.")
    version = journey.freeze(goal, owner)
    version.delete()
    assert_next_action(goal, 2, "Check them", "60 examples, not frozen yet.")
    journey.freeze(goal, owner)
    assert_next_action(goal, 3, "Choose a model", "60 examples frozen as version 1.")
    BaseModelChoice.objects.create(goal=goal, base_model=journey.install(), chosen_by=owner)
    assert_next_action(goal, 4, "Train", "Ready to train Tiny.")
    training = trainings.start(goal=goal, user=owner)
    assert_next_action(goal, 4, "Watch", "Training: getting ready.")
    journey.set_state(training.job, State.RUNNING, done=61, total=90)
    assert_next_action(goal, 4, "Watch", "Training now: step 61 of 90.")
    journey.set_state(training.job, State.STOPPED)
    assert_next_action(goal, 4, "Continue", "Training stopped at step 61.")
    journey.set_state(training.job, State.FAILED, message="Not enough memory.")
    assert_next_action(goal, 4, "See why", "Not enough memory.")
    journey.set_state(training.job, State.CANCELLED)
    assert_next_action(goal, 4, "Train", "Ready to train Tiny.")
    trained = journey.trained(goal, owner)
    assert_next_action(goal, 5, "Evaluate", "Not tested yet.")
    evaluation = journey.begun(trained, owner)
    assert_next_action(goal, 5, "Watch", "Being tested on unseen prompts.")
    journey.set_state(evaluation.job, State.STOPPED)
    assert_next_action(goal, 5, "Continue", "The test was stopped.")
    journey.set_state(evaluation.job, State.FAILED, message="The disk is full.")
    assert_next_action(goal, 5, "See why", "The disk is full.")
    evaluations.delete(evaluation=evaluation)
    tested = journey.evaluated(trained, owner)
    total = tested.version.counts["test"]
    assert_next_action(goal, 5, "See the verdict", f"better on {total} of {total}, worse on 0.")


def test_a_blind_choice_waits_for_votes(goal, owner):
    goals.choose_measure(goal=goal, kind="choice", settings={})
    trained = journey.trained(journey.ready(goal, owner), owner)
    journey.evaluated(trained, owner, say=lambda prompt, kind: (kind, None))
    assert_next_action(goal, 5, "Choose", "Waiting for your blind choice.")


def test_a_new_training_replaces_an_old_verdict_as_the_state(goal, owner):
    journey.evaluated(journey.trained(journey.ready(goal, owner), owner), owner)
    trainings.start(goal=goal, user=owner)
    assert_next_action(goal, 4, "Watch", "Training: getting ready.")


def test_every_next_action_leads_to_a_page(as_owner, goal, owner):
    for step in (
        lambda: None,
        lambda: journey.ready(goal, owner),
        lambda: journey.trained(goal, owner),
    ):
        step()
        reply = as_owner.get(next_action(goal).url, follow=True)
        assert reply.status_code == 200


def test_the_number_of_queries_does_not_grow_with_the_goals(as_viewer, team, owner, monkeypatch):
    model = journey.install()
    for number in range(2):
        add(team, owner, model, number)
    few = count_queries(as_viewer)
    for number in range(2, 8):
        add(team, owner, model, number)
    assert count_queries(as_viewer) == few
    assert few <= 25


def add(team, owner, model, number):
    goal = Goal.objects.create(team=team, name=f"Goal {number}", measure="exact")
    journey.evaluated(journey.trained(journey.ready(goal, owner, model), owner), owner)


def count_queries(browser) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    browser.get("/account/")  # a session's first request notes where it comes from
    with CaptureQueriesContext(connection) as seen:
        assert browser.get(HOME).status_code == 200
    return len(seen)


def test_goals_are_paginated(as_viewer, team):
    made = [Goal.objects.create(team=team, name=f"Number {n:02}") for n in range(31)]
    first = as_viewer.get(HOME).content.decode()
    assert "Number 30" in first
    assert "Number 00" not in first
    second = as_viewer.get(HOME, {"before": made[1].pk}).content.decode()
    assert "Number 00" in second
    assert "Older goals" not in second


@pytest.mark.parametrize("odd", ["x", "²", "-1", "9" * 5000])
def test_an_invalid_page_number_shows_the_newest_goals(as_viewer, goal, odd):
    reply = as_viewer.get(HOME, {"before": odd})
    assert reply.status_code == 200
    assert "Sort shop emails" in reply.content.decode()


def test_running_and_waiting_jobs_are_counted(as_viewer, goal, owner):
    trainings.start(goal=journey.ready(goal, owner), user=owner)
    page = as_viewer.get(HOME).content.decode()
    assert "0 jobs running" in page
    assert "1 waiting" in page


def test_goals_of_another_team_are_hidden(as_stranger, goal):
    assert "Sort shop emails" not in as_stranger.get(HOME).content.decode()


def test_posting_to_the_home_page_is_rejected(as_owner):
    assert as_owner.post(HOME).status_code == 405


def test_unanswered_rows_lead_to_labelling(goal, owner):
    goals.choose_measure(goal=goal, kind="exact", settings={})
    dataset = dataset_of(goal)
    add_pending_rows(dataset, owner, 30)
    assert_next_action(goal, 2, "Label 30 rows", "30 rows wait for an answer, 0 are done.")
    assert next_action(goal).url == reverse("labelling:start", kwargs={"goal_id": goal.pk})
    add_answered_rows(dataset, owner, ["bell", "gears"] * 50)
    assert_next_action(goal, 2, "Check them", "100 examples, not frozen yet.")

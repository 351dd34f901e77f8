"""The training page: what it says in each state, and a live part that disturbs nobody."""

from datetime import timedelta

import pytest
from django.utils import timezone

from finetune_app.basemodels.automatic_settings import AutomaticSettings
from finetune_app.jobs.models import Job, State
from finetune_app.training.forms import SettingsForm
from finetune_app.training.models import SampleAnswer, Training
from finetune_app.training.presenters import (
    facts,
    headline,
    measurements,
    sample_histories,
    setting_fields,
    settings_in_words,
    time_taken,
)
from tests.factories import World, build_world

WANTED = "topic: repair\ndesk: workshop"


@pytest.fixture
def world(team, owner) -> World:
    return build_world(team, owner)


@pytest.fixture
def training(world) -> Training:
    return world.training


def put(training: Training, state: State, **fields) -> Training:
    for name, value in ({"state": state} | fields).items():
        setattr(training.job, name, value)
    training.job.save()
    return training


def watch(training: Training, *answers: tuple[int, str, bool | None]) -> None:
    training.samples.all().delete()
    for step, answer, passed in answers:
        SampleAnswer.objects.create(
            training=training,
            step=step,
            index=0,
            prompt="It squeaks.",
            wanted=WANTED,
            answer=answer,
            passed=passed,
        )


def test_what_it_took_is_said_beside_what_was_expected(training):
    now = timezone.now()
    times = {"started_at": now - timedelta(minutes=6), "ended_at": now}
    training.estimate = {"seconds": 420}
    assert time_taken(put(training, State.RUNNING, **times)) == ""
    done = put(training, State.SUCCEEDED, result={}, **times)
    assert time_taken(done) == "It took 6 minutes; 7 minutes were expected."
    early = put(training, State.SUCCEEDED, result={"ended_early": True}, **times)
    assert "with all passes, 7 minutes" in time_taken(early)


def test_the_time_in_which_it_was_stopped_or_waited_does_not_count(training):
    now = timezone.now()
    training.estimate = {"seconds": 420}
    times = {"started_at": now - timedelta(hours=9), "ended_at": now}
    for began in (now - timedelta(hours=9), now - timedelta(minutes=3)):
        training.job.child_runs.create(
            token=1, started_at=began, ended_at=began + timedelta(minutes=3)
        )
    done = put(training, State.SUCCEEDED, result={}, **times)
    assert time_taken(done) == "It took 6 minutes; 7 minutes were expected."


def test_the_headline_says_where_it_is(training):
    assert headline(put(training, State.QUEUED)) == "About to start"
    assert headline(put(training, State.STOPPING)) == "Stopping at the next safe place"
    assert headline(put(training, State.STOPPED, done=61, total=90)) == "Stopped at step 61 of 90"
    assert headline(put(training, State.STOPPED, done=0, total=0)) == "Stopped"
    assert headline(put(training, State.FAILED)) == "It could not continue"
    assert headline(put(training, State.SUCCEEDED, result={"seconds": 170})) == "Done in 3 minutes"


def test_the_headline_says_how_long_from_the_pace_so_far(training):
    gone = {"done": 30, "total": 90, "running_at": timezone.now() - timedelta(minutes=2)}
    assert headline(put(training, State.RUNNING, result={}, **gone)) == "About 4 minutes left"
    gone |= {"done": 80}
    assert headline(put(training, State.RUNNING, **gone)) == "Less than a minute left"


def test_a_queued_training_says_when_it_begins(training):
    Job.objects.exclude(pk=training.job.pk).update(state=State.CANCELLED)  # nobody else waits
    ahead = Job.objects.create(
        team=training.goal.team,
        kind="evaluation",
        state=State.RUNNING,
        done=50,
        total=100,
        running_at=timezone.now() - timedelta(minutes=4),
    )
    assert "begins in about 4 minutes" in facts(put(training, State.QUEUED))
    ahead.delete()
    assert not any("begins" in fact for fact in facts(put(training, State.RUNNING)))


def test_samples_are_labelled_by_the_pass_they_ended(training):
    training.spec = {"epochs": 2}
    put(training, State.RUNNING, total=60)
    watch(training, (0, "Hello", False), (30, WANTED, True), (45, WANTED, True), (60, WANTED, True))
    (history,) = sample_histories(training)
    assert [moment.when for moment in history.moments] == ["Start", "Pass 1", "Step 45", "Now"]
    put(training, State.SUCCEEDED)
    assert sample_histories(training)[0].moments[-1].when == "End"


def test_a_wrong_sample_says_why_and_what_was_wanted(training):
    training.spec = {"epochs": 1, "measure": {"kind": "exact", "settings": {}}}
    watch(training, (0, "I am sorry to hear that.", False), (2, "topic: repair\ndesk: shop", False))
    (history,) = sample_histories(training)
    assert [moment.why for moment in history.moments] == ["Not in two lines", "Desk differs"]
    assert [pair["value"] for pair in history.wanted["pairs"]] == ["repair", "workshop"]


def measure(training: Training, *measured: tuple[int, float, float]) -> None:
    training.points.all().delete()
    for step, loss, score in measured:
        training.points.create(step=step, validation_loss=loss, validation_score=score)


def test_each_measurement_is_listed_and_the_best_by_the_measure_is_kept(training):
    training.spec = {"epochs": 3, "measure": {"kind": "exact", "settings": {}}}
    put(training, State.SUCCEEDED, total=90)
    measure(training, (30, 1.2, 0.4), (60, 0.9, 0.625), (90, 1.4, 0.7))
    found = measurements(training.points.all(), training)
    assert [(one.when, one.score) for one in found] == [
        ("Pass 1", "40 %"),
        ("Pass 2", "62 %"),
        ("Pass 3", "70 %"),
    ]
    assert [one.is_best for one in found] == [False, False, True]


def test_a_graded_measure_is_shown_in_points(training):
    training.spec = {"epochs": 1, "measure": {"kind": "close", "settings": {}}}
    measure(training, (30, 1.2, 0.4))
    assert measurements(training.points.all(), training)[0].score == "40"


def test_a_run_that_ended_by_itself_says_so(as_owner, training):
    training.spec = training.spec | {"epochs": 10}
    training.save()
    result = {"seconds": 170, "steps": 120, "ended_early": True}
    put(training, State.SUCCEEDED, done=120, total=300, result=result)
    measure(training, (60, 0.9, 0.6), (120, 1.4, 0.7))
    page = as_owner.get(f"/goals/{training.goal_id}/training/{training.number}/").content.decode()
    assert "It stopped by itself after 4 of up to 10 passes" in page
    assert "Step 120 of 120: pass 4 of 4" in page


def test_once_it_is_right_the_wanted_answer_is_not_repeated(training):
    watch(training, (0, "Hello", False), (2, WANTED, True))
    (history,) = sample_histories(training)
    assert history.wanted is None
    assert history.moments[-1].why == "As you wanted"


def test_samples_judged_by_people_are_neither_right_nor_wrong(training):
    watch(training, (0, "Hello", None))
    assert sample_histories(training)[0].moments[0].why == ""
    parts = sample_histories(training)[0].moments[0].shown["parts"]
    assert not any(part["off"] for part in parts)


def test_of_many_samples_four_are_shown(training):
    watch(training, *[(step, "Hello", False) for step in range(0, 100, 10)])
    shown = [moment.sample.step for moment in sample_histories(training)[0].moments]
    assert shown[0] == 0
    assert shown[-1] == 90
    assert len(shown) == 4


def test_frozen_settings_have_words_and_no_fingerprints():
    told = dict(
        settings_in_words(
            {
                "epochs": 3,
                "alpha": 32,
                "targets": "all-linear",
                "version_sha256": "0" * 64,
                "measure": {"kind": "exact"},
            }
        )
    )
    assert told == {
        "Passes over the examples (epochs)": "3",
        "Strength of the adapter (alpha)": "32",
        "Layers that adapt": "all of them",
    }


def test_each_setting_has_its_reason():
    automatic = AutomaticSettings(
        settings={"epochs": 3, "alpha": 32},
        reasons={"epochs": "Three passes.", "alpha": "The usual strength."},
    )
    fields, fixed = setting_fields(SettingsForm(automatic=automatic.settings), automatic)
    assert {field.name: field.help_text for field in fields}["epochs"] == "Three passes."
    assert fixed == [("Strength of the adapter (alpha)", "32", "The usual strength.")]


# ---- The live part ----


def live(client, training: Training, seen: str) -> str:
    url = f"/goals/{training.goal_id}/training/{training.number}/?seen={seen}"
    return client.get(url, headers={"HX-Request": "true", "HX-Target": "live"}).content.decode()


def test_a_poll_does_not_replace_buttons_and_drawers(as_owner, training):
    put(training, State.RUNNING, done=1, total=2)
    part = live(as_owner, training, seen="running")
    assert 'hx-trigger="every 2s"' in part
    assert 'id="fact-4" hx-swap-oob="true" >Step 1 of 2<' in " ".join(part.split())
    for left_alone in ('id="actions"', 'id="next"', 'id="rail"', "<details"):
        assert left_alone not in part


def test_when_the_state_changes_what_can_be_done_changes_with_it(as_owner, training):
    training.adapter_sha256 = ""
    training.save()
    put(training, State.STOPPED, done=1, total=2)
    part = live(as_owner, training, seen="running")
    assert "hx-trigger" not in part
    assert 'data-title="Stopped at step 1 of 2' in part
    for changed in ('id="actions"', 'id="next"', 'id="rail"', "Continue"):
        assert changed in part


def test_a_viewer_watches_without_buttons(as_viewer, training):
    put(training, State.RUNNING, done=1, total=2)
    page = as_viewer.get(f"/goals/{training.goal_id}/training/1/").content.decode()
    assert "Is it learning?" in page
    assert "/stop/" not in page
    assert "delete-training" not in page


def test_the_launch_page_says_what_will_happen(as_owner, world):
    page = as_owner.get(f"/goals/{world.goal.pk}/training/?new").content.decode()
    assert "Then it reads 6 examples" in page
    assert "2 practice examples show" in page
    assert "2 prompts stay sealed" in page

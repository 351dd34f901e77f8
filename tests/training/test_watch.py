"""Watching it learn: the page lives while the training does, and is its record afterwards."""

import pytest

from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job, State
from finetune_app.training.models import Point
from finetune_app.training.presenters import MAX_DRAWN_POINTS, _thin
from tests import journey

POLL = "every 2s"


def point(training, step, **fields):
    handler_for(training.job).record(training.job, {"event": "point", "step": step, **fields})


def test_the_page_polls_while_it_runs(as_viewer, waiting, url):
    page = as_viewer.get(url("detail", 1)).content.decode()
    assert "About to start" in page
    assert POLL in page


def test_a_poll_gets_only_the_live_part(as_viewer, waiting, url):
    part = as_viewer.get(url("detail", 1), headers={"HX-Request": "true"}).content.decode()
    assert " ".join(part.split()).startswith('<div id="live"')
    assert "<html" not in part


def test_warnings_are_stored_once(as_viewer, waiting, url):
    words = "3 of 40 rows are too long: the beginning of their prompt was cut."
    for _try in range(2):  # a resumed child says it again
        handler_for(waiting.job).record(waiting.job, {"event": "warning", "text": words})
    assert as_viewer.get(url("detail", 1)).content.decode().count(words) == 1


def test_the_page_shows_steps_speed_curve_and_answers(as_viewer, waiting, url):
    journey.set_state(waiting.job, State.RUNNING, done=12, total=90)
    point(waiting, 0, loss=2.5, validation_loss=2.4)
    point(waiting, 12, epoch=0.4, loss=1.9, tokens_per_second=410.0, memory_bytes=2 * 1024**3)
    handler_for(waiting.job).record(
        waiting.job,
        {
            "event": "sample",
            "step": 0,
            "index": 0,
            "prompt": "Is it ready?",
            "wanted": "repair",
            "answer": "I am a model",
            "passed": False,
            "why": None,
        },
    )
    page = as_viewer.get(url("detail", 1)).content.decode()
    wanted = ("step 12 of 90", "410 tokens/s", "2.0 GB", "Is it ready?", "I am a model", "<svg")
    assert [words for words in wanted if words not in page] == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.PREPARING, "Getting ready"),
        (State.STOPPING, "Stopping at the next safe place"),
        (State.STOPPED, "Stopped at step 30 of 90"),
        (State.FAILED, "It could not continue"),
        (State.SUCCEEDED, "Done"),
        (State.CANCELLED, "Ended before it was done"),
    ],
)
def test_each_state_has_its_words(as_viewer, waiting, url, state, words):
    journey.set_state(waiting.job, state, done=30, total=90)
    page = as_viewer.get(url("detail", 1)).content.decode()
    assert words in page
    assert (POLL in page) == (state in (State.PREPARING, State.STOPPING))


def test_a_failure_says_why_and_keeps_the_details_for_experts(as_viewer, waiting, url):
    why = "There was not enough memory. Choose a smaller batch."
    journey.set_state(waiting.job, State.FAILED, message=why, detail="Traceback: line 7")
    page = as_viewer.get(url("detail", 1)).content.decode()
    assert why in page
    assert "Traceback: line 7" in page


def test_a_queued_training_says_its_place(as_viewer, waiting, team, url):
    earlier = Job.objects.create(team=team, kind="training")
    Job.objects.filter(pk=earlier.pk).update(queued_at=waiting.job.created_at.replace(year=2020))
    assert "Waiting: 1 is before it" in as_viewer.get(url("detail", 1)).content.decode()


def test_a_long_curve_is_thinned_and_keeps_its_end(waiting, as_viewer, url):

    Point.objects.bulk_create(
        Point(training=waiting, step=n, loss=3 - n / 1000) for n in range(1500)
    )
    thin = _thin([(p.step, p.loss) for p in waiting.points.all()])
    assert len(thin) <= MAX_DRAWN_POINTS + 1
    assert thin[-1][0] == 1499
    assert as_viewer.get(url("detail", 1)).status_code == 200


def test_the_newest_is_what_step_four_shows(as_viewer, waiting, url):
    assert as_viewer.get(url("page"))["Location"] == url("detail", 1)
    assert as_viewer.get(url("page") + "?new").status_code == 200


def test_polling_costs_the_same_however_long_a_training_ran(
    as_viewer, waiting, url, django_assert_max_num_queries
):
    for step in range(40):
        point(waiting, step, loss=2.0, validation_loss=2.0)
    as_viewer.get("/account/")  # a session's first request notes where it comes from
    with django_assert_max_num_queries(27):
        as_viewer.get(url("detail", 1))


def test_strangers_find_nothing_and_there_is_no_other_number(as_stranger, as_owner, waiting, url):
    assert as_stranger.get(url("detail", 1)).status_code == 404
    assert as_owner.get(url("detail", 2)).status_code == 404
    assert as_owner.post(url("detail", 1)).status_code == 405

"""Starting a search: what is said before, what is frozen, and who may."""

import json
from pathlib import Path

import pytest

from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.hyperparameter_search import services
from finetune_app.hyperparameter_search.models import HyperparameterSearch
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job
from finetune_app.training import services as trainings
from tests import journey
from worker.training.spec import TrainingSpec


def test_the_time_and_each_trial_are_said_before_it_starts(as_editor, ready, url):
    page = " ".join(as_editor.get(url("page")).content.decode().split())
    assert "as long as 1.8 whole trainings" in page
    assert "It takes " in page
    assert page.count("<dt>") == 6
    assert "Each correction is twice as large" in page


def test_an_editor_starts_one_in_the_queue_of_trainings(as_editor, editor, ready, url):
    assert as_editor.post(url("start"))["Location"] == url("detail", 1)
    search = HyperparameterSearch.objects.get()
    assert (search.job.kind, search.job.is_heavy) == ("search", True)
    assert search.started_by == editor
    names = list(search.trials.values_list("name", flat=True))
    assert names[0] == "automatic"
    assert len(names) == 6
    assert search.trials.get(name="higher_rate").settings == {
        "learning_rate": 2 * search.spec["learning_rate"]
    }
    assert "About to start" in as_editor.get(url("detail", 1)).content.decode()


def test_the_worker_accepts_the_spec_of_each_trial(waiting):
    spec = handler_for(waiting.job).child_spec(waiting.job).spec
    assert json.loads(json.dumps(spec)) == spec
    for changes in spec["trials"]:
        TrainingSpec.from_json(spec["training"] | changes)


def test_the_worker_gets_a_file_without_test_rows(waiting):
    """No setting can be chosen by the test rows, because the child never sees them."""
    whole = local_path(waiting.version.stored_name).read_text().splitlines()
    rows = [json.loads(line) for line in whole]
    spec = handler_for(waiting.job).child_spec(waiting.job).spec
    given = Path(spec["training"]["version"]).read_text().splitlines()
    assert any(row["split"] == "test" for row in rows)
    assert [json.loads(line) for line in given] == [row for row in rows if row["split"] != "test"]
    assert "stored" not in json.dumps(spec)
    assert waiting.version.stored_name not in json.dumps(spec)


def test_starting_twice_returns_the_active_one(as_editor, waiting, url):
    assert as_editor.post(url("start"))["Location"] == url("detail", 1)
    assert Job.objects.filter(kind="search").count() == 1


def test_while_a_training_runs_it_waits(as_editor, ready, owner, url):
    trainings.start(goal=ready, user=owner)
    reply = as_editor.post(url("start"))
    assert reply.status_code == 400
    assert "A training of this goal is running" in reply.content.decode()


def test_too_few_practice_examples_are_said(as_editor, goal, owner, url, monkeypatch):
    journey.ready(goal, owner)
    monkeypatch.setattr(services, "MIN_PRACTICE", 1000)
    with pytest.raises(PlainError, match="too few to tell them apart"):
        services.start(goal=goal, user=owner)


def test_without_examples_there_is_nothing_to_search_with(as_owner, goal, url):
    assert "There is nothing to search with yet" in as_owner.get(url("page")).content.decode()
    assert as_owner.post(url("start")).status_code == 400


def test_it_is_offered_where_trainings_begin_and_end(as_editor, ready, owner, goal, url):
    launch = as_editor.get(f"/goals/{goal.pk}/training/").content.decode()
    journey.trained(ready, owner)
    done = as_editor.get(f"/goals/{goal.pk}/training/1/").content.decode()
    for page in (launch, done):
        assert url("page") in page
        assert "Look for better settings" in page


def test_only_editors_of_the_team_start_it(as_viewer, as_stranger, as_owner, ready, url):
    assert as_viewer.post(url("start")).status_code == 403
    assert as_stranger.post(url("start")).status_code == 404
    assert as_owner.get(url("start")).status_code == 405
    assert "only editors can start a search" in as_viewer.get(url("page")).content.decode()
    assert as_stranger.get(url("page")).status_code == 404
    assert not HyperparameterSearch.objects.exists()

"""What a search found is trained whole: as an ordinary training that says where it comes from."""

from finetune_app.jobs.handlers import handler_for
from finetune_app.training import services as trainings
from finetune_app.training.models import Training
from finetune_app.training.presenters import settings_in_words
from tests import journey
from tests.hyperparameter_search.conftest import finish
from worker.training.spec import TrainingSpec


def test_when_it_ends_the_winner_is_queued(waiting, owner):
    search = finish(waiting, winner=1)
    training = Training.objects.get()
    assert search.training == training
    assert training.started_by == owner
    assert training.spec["learning_rate"] == 2 * waiting.spec["learning_rate"]
    assert training.spec["search"] == 1
    assert ("Found by search number", "1") in settings_in_words(training.spec)
    spec = handler_for(training.job).child_spec(training.job).spec
    assert TrainingSpec.from_json(spec).learning_rate == training.spec["learning_rate"]


def test_the_automatic_settings_are_trained_when_they_win(waiting):
    finish(waiting, winner=0)
    spec = Training.objects.get().spec
    assert spec == waiting.spec | {"search": 1}


def test_a_result_that_comes_twice_trains_once(waiting):
    finish(waiting, winner=1)
    finish(waiting, winner=1)
    assert Training.objects.count() == 1


def test_a_stopped_search_trains_nothing(waiting):
    journey.end(waiting.job, stopped=True, winner=None)
    assert not Training.objects.exists()


def test_where_the_examples_have_changed_a_person_decides(as_editor, waiting, ready, owner, url):
    journey.freeze(ready, owner, count=70)
    finish(waiting, winner=1)
    assert not Training.objects.exists()
    assert url("train", 1) in as_editor.get(url("detail", 1)).content.decode()
    as_editor.post(url("train", 1))
    assert Training.objects.get().spec["search"] == 1


def test_beside_another_training_it_waits_for_a_person(as_editor, waiting, ready, owner, url):
    other = trainings.start(goal=ready, user=owner)
    search = finish(waiting, winner=1)
    assert search.training is None
    assert as_editor.post(url("train", 1)).status_code == 400
    journey.end(other.job, stopped=True)
    journey.set_state(other.job, "cancelled")
    assert as_editor.post(url("train", 1))["Location"].endswith("/training/2/")


def test_before_its_end_there_is_nothing_to_train(as_editor, waiting, url):
    assert as_editor.post(url("train", 1)).status_code == 400


def test_an_ordinary_training_names_no_search(ready, owner):
    assert "search" not in trainings.start(goal=ready, user=owner).spec

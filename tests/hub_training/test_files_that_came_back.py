"""Where the files of a training lie that was done on the hub."""

import pytest
from django.core.files.storage import InMemoryStorage, default_storage
from django.db import connection

from finetune_app.core.files import names_below
from finetune_app.hub_training import services
from finetune_app.hub_training.models import HubTraining
from finetune_app.jobs.models import State
from finetune_app.remote_training import services as elsewhere
from finetune_app.training.models import Training
from tests.hub_training.conftest import step
from tests.hub_training.left_results import leave_results

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def over(start, stub, hub) -> HubTraining:
    """It is over there, and its results wait to be fetched."""
    training = step(start())
    stub.job.ended = "COMPLETED"
    leave_results(hub, training)
    return training


def test_they_are_uploaded_to_a_store_before_the_last_transaction(over, settings, monkeypatch):
    """On SQLite, nobody else can write while one is open."""
    memory = {"default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}
    settings.STORAGES = settings.STORAGES | memory
    save, inside = InMemoryStorage._save, []

    def saved(self, name, content):
        inside.append(connection.in_atomic_block)
        return save(self, name, content)

    monkeypatch.setattr(InMemoryStorage, "_save", saved)
    assert step(over).job.state == State.SUCCEEDED
    made = Training.objects.get()
    assert default_storage.exists(f"{made.adapter_folder}/{made.weights_file}")
    assert default_storage.exists(f"{made.folder_of_step(2)}/{made.weights_file}")
    assert set(inside) == {False}


def test_without_its_record_the_training_keeps_them(over, data_dir):
    elsewhere.delete(training=step(over))
    made = Training.objects.get()
    assert (data_dir / made.adapter_folder / made.weights_file).read_bytes() == b"what it learned"


def test_they_are_deleted_with_the_training(over, data_dir):
    remote = step(over)
    Training.objects.get().delete()
    assert names_below(remote.fetched_folder) == []
    assert HubTraining.objects.get().training is None


def test_what_became_no_training_is_deleted_with_the_record(over, monkeypatch):
    """Its end was cut off between the files and the rows."""
    monkeypatch.setattr("finetune_app.hub_training.jobs.make_training", lambda remote: 1 / 0)
    remote = step(over)
    assert remote.job.state == State.FAILED
    assert names_below(remote.fetched_folder)
    elsewhere.delete(training=remote)
    assert names_below(remote.fetched_folder) == []


def test_continued_it_is_a_training_all_the_same(over, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr("finetune_app.hub_training.jobs.make_training", lambda remote: 1 / 0)
        remote = step(over)
    services.resume(training=remote)
    assert step(remote).job.state == State.SUCCEEDED
    assert Training.objects.get().points.exists()

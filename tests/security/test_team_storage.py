"""A team cannot fill the disk: its files have a limit, at upload and while an import writes."""

import io
from collections import namedtuple
from importlib import import_module

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile

from finetune_app.accounts import storage
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.datasets.models import Import
from finetune_app.datasets.services import dataset_of
from finetune_app.fine_tuning_api.models import ApiFile
from finetune_app.goals.models import Goal
from finetune_app.imports import chunked_upload
from finetune_app.imports.services import start_import
from finetune_app.model_export import services as exports
from finetune_app.training import services as trainings
from finetune_app.versions.models import Version
from tests import journey
from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import UserError
from worker.imports.inspect import inspect_file
from worker.imports.read import read_rows

GB = 10**9
Disk = namedtuple("Disk", "total used free")


@pytest.fixture
def small(settings, team):
    """The team may store 1,000 bytes, of which a file takes 900."""
    settings.MAX_TEAM_BYTES = 1000
    ApiFile.objects.create(team=team, name="a.jsonl", purpose="fine-tune", size=900)


def bring(goal: Goal, owner, size: int) -> Import:
    file = SimpleUploadedFile("mail.csv", b"x" * size)
    return start_import(dataset=dataset_of(goal), by=owner, file=file, name="mail.csv")


def test_an_upload_beyond_the_teams_space_is_refused(small, goal, owner):
    with pytest.raises(PlainError, match="Delete imports, documents, trainings") as refused:
        bring(goal, owner, 101)
    assert refused.value.status == 413
    assert not Import.objects.exists()
    bring(goal, owner, 100)
    with pytest.raises(PlainError, match="does not fit"):
        bring(goal, owner, 1)


def test_the_page_says_what_to_do(small, goal, as_owner):
    file = io.BytesIO(b"prompt,answer\n" * 100)
    file.name = "mail.csv"
    reply = as_owner.post(f"/goals/{goal.pk}/dataset/upload/", {"file": file})
    assert b"ask who runs Finetune for more space" in reply.content


def test_what_another_team_stores_does_not_count(small, stranger):
    assert storage.stored_bytes(stranger.memberships.get().team) == 0


def test_rows_read_from_a_file_count_too(goal, owner, team, data_dir):
    item = bring(goal, owner, 100)
    (data_dir / item.folder / "rows.jsonl").write_bytes(b"x" * 5000)
    assert storage.stored_bytes(team) == 5100


def test_an_upload_that_arrives_in_chunks_takes_its_space_from_the_start(small, goal, owner):
    dataset = dataset_of(goal)
    upload = chunked_upload.start_upload(
        dataset=dataset, by=owner, name="large.csv", size=60, modified_at_ms=1
    )
    assert storage.stored_bytes(goal.team) == 960
    with pytest.raises(PlainError, match="does not fit"):
        chunked_upload.start_upload(
            dataset=dataset, by=owner, name="next.csv", size=60, modified_at_ms=1
        )
    with pytest.raises(PlainError, match="does not fit"):
        bring(goal, owner, 60)
    chunked_upload.append_chunk(upload=upload, offset=0, length=60, source=io.BytesIO(b"x" * 60))
    upload.refresh_from_db()
    chunked_upload.finish_upload(upload=upload)
    assert storage.stored_bytes(goal.team) == 960


def test_a_version_counts_too(goal, owner, team):
    version = journey.freeze(goal, owner)
    assert version.size == local_path(version.stored_name).stat().st_size > 1000
    assert storage.stored_bytes(team) == version.size


def test_a_version_of_before_is_measured_by_the_migration(goal, owner):
    size = journey.freeze(goal, owner).size
    Version.objects.update(size=0)
    migration = import_module("finetune_app.versions.migrations.0005_size")
    migration.measure(apps, None)
    assert Version.objects.get().size == size


def test_a_dataset_is_not_frozen_where_it_would_not_fit(goal, owner, settings, data_dir):
    settings.MAX_TEAM_BYTES = 1000
    with pytest.raises(PlainError, match="does not fit") as refused:
        journey.freeze(goal, owner)
    assert refused.value.status == 413
    assert not Version.objects.exists()
    assert not list((data_dir / "versions").rglob("*.part"))


def test_what_a_team_has_trained_counts_too(goal, owner, team):
    ready = journey.ready(goal, owner)
    before = storage.stored_bytes(team)
    training = journey.trained(ready, owner, weights="w" * 700)
    assert training.size == 700 + len("{}")
    assert storage.stored_bytes(team) == before + training.size
    trainings.delete(training=training)
    assert storage.stored_bytes(team) == before


def test_a_whole_model_is_not_trained_where_it_would_not_fit(goal, owner, settings):
    ready = journey.ready(goal, owner)
    base = ready.base_choice.base_model
    base.size = 5000
    base.save()
    settings.MAX_TEAM_BYTES = storage.stored_bytes(goal.team) + 4000
    with pytest.raises(PlainError, match="does not fit"):
        trainings.start(goal=ready, user=owner, chosen={"tuning": "full"})
    assert trainings.start(goal=ready, user=owner)


def test_a_model_is_not_exported_where_it_would_not_fit(goal, owner, settings):
    training = journey.trained(journey.ready(goal, owner), owner)
    training.base_model.parameters = 1000
    training.base_model.save()
    settings.MAX_TEAM_BYTES = storage.stored_bytes(goal.team) + 3000
    with pytest.raises(PlainError, match="does not fit"):
        exports.start(training=training, format="merged-fp32", by=owner)
    assert exports.start(training=training, format="merged-bf16", by=owner)


def test_an_import_stops_when_the_team_has_no_space_left(tmp_path):
    path = tmp_path / "mail.csv"
    path.write_text("prompt,answer\n" + "My pump leaks,repair\n" * 1000)
    channel = RecordingChannel()
    found = inspect_file(path, "mail.csv", {}, channel)
    with pytest.raises(UserError, match="do not fit into the space that is left") as stopped:
        read_rows(path, tmp_path, found["shape"], found["mapping"], channel, bytes_left=10_000)
    assert stopped.value.code == "no_disk"
    assert (tmp_path / "rows.jsonl").stat().st_size <= 10_000


@pytest.mark.parametrize(
    ("disk", "left"),
    [
        (Disk(40 * GB, 30 * GB, 10 * GB), 6 * GB),  # a tenth stays free
        (Disk(1000 * GB, 950 * GB, 50 * GB), 40 * GB),  # but not more than 10 GB
        (Disk(40 * GB, 38 * GB, 2 * GB), 0),
    ],
)
def test_part_of_the_disk_stays_free(monkeypatch, disk, left):
    monkeypatch.setattr("shutil.disk_usage", lambda _path: disk)
    assert storage.free_disk_bytes() == left

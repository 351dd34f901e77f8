"""A job goes on elsewhere from what it had done, by way of the shared store."""

import os
import shutil
import threading
from collections.abc import Callable
from typing import BinaryIO

import pytest
from django.core.files.storage import default_storage

from finetune_app.core import files, local_copies
from finetune_app.jobs import lease, process_ids
from finetune_app.jobs.models import Job, State
from finetune_app.training.jobs import TrainingHandler
from finetune_app.training.protocol import EVERYDAY, REFERENCE
from tests.s3_store import s3_store
from tests.worker.conftest import steps_of, supervise, wait_for
from worker import progress_copies
from worker.progress_copies import ORIGIN, ProgressCopies, fetch_progress


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(progress_copies, "LOOK_SECONDS", 0.05)


@pytest.fixture
def move_to(settings, monkeypatch, tmp_path) -> Callable[[str], None]:
    """Be another host from now on, with a data folder of its own and the same store."""

    def move(name: str) -> None:
        settings.DATA_DIR = tmp_path / name
        settings.DATA_DIR.mkdir(exist_ok=True)

    with s3_store(settings, monkeypatch):
        move("one")
        yield move


def numbers(job: Job) -> list[int]:
    return [step for step, _, _ in steps_of(job)]


def stored(job: Job) -> str:
    return default_storage.open(f"counting/{job.pk}/saved").read().decode()


def supervise_with(job: Job, **fault: str) -> Job:
    """Where the child dies: supervise_with(job, **{"3": "die"})."""
    Job.objects.filter(pk=job.pk).update(spec=job.spec | {"fault": fault})
    return supervise(job)


def test_a_killed_job_goes_on_at_another_host(new_job, move_to):
    job = supervise_with(new_job(), **{"3": "die"})
    assert (job.state, stored(job)) == (State.QUEUED, "2")
    move_to("two")
    job = supervise_with(job)
    assert (job.state, numbers(job)) == (State.SUCCEEDED, [3, 4])


def test_what_a_host_had_done_before_others_went_on_is_replaced(new_job, move_to):
    job = supervise_with(new_job(), **{"2": "die"})
    move_to("two")
    job = supervise_with(job, **{"4": "die"})
    assert stored(job) == "3"
    move_to("one")
    job = supervise_with(job)
    assert (job.state, numbers(job)) == (State.SUCCEEDED, [1, 2, 4])  # it died in step 2 here


def test_on_the_same_disk_its_files_are_newer_than_the_store(new_job, move_to, settings):
    job = supervise_with(new_job(), **{"3": "die"})
    files.upload(f"counting/{job.pk}/saved")
    (settings.DATA_DIR / f"counting/{job.pk}/saved").write_text("3")  # not uploaded in time
    job = supervise_with(job)
    assert (job.state, numbers(job)) == (State.SUCCEEDED, [1, 2, 3, 4])


def test_a_copy_that_was_removed_meanwhile_is_fetched_again(new_job, move_to, settings):
    job = supervise_with(new_job(), **{"3": "die"})
    folder = settings.DATA_DIR / f"counting/{job.pk}"
    shutil.rmtree(folder)  # as local_copies.py does when there are too many
    job = supervise_with(job)
    assert (job.state, numbers(job)) == (State.SUCCEEDED, [3, 4])


def test_what_was_never_stored_is_not_touched(new_job, move_to, settings):
    """As after an upgrade: an older version did not copy it."""
    job = supervise_with(new_job(), **{"3": "die"})
    for name in files.names_below(f"counting/{job.pk}"):
        default_storage.delete(name)
    job = supervise_with(job)
    assert (job.state, numbers(job)) == (State.SUCCEEDED, [1, 2, 3, 3, 4])


def test_while_the_store_is_away_the_job_goes_on(new_job, move_to, monkeypatch):
    def away(name: str, content: BinaryIO | None = None) -> None:
        raise OSError("the store is away")

    monkeypatch.setattr(files, "upload", away)
    monkeypatch.setattr(progress_copies, "LAST_TRIES", 1)
    assert supervise(new_job()).state == State.SUCCEEDED


def test_a_stopped_job_continues_at_another_host(new_job, move_to):
    stopping = threading.Event()
    stopping.set()
    job = supervise(new_job(steps=50), stopping)
    done = int(stored(job))
    move_to("two")
    assert numbers(supervise(job)) == list(range(done + 1, 51))


def test_without_a_shared_store_nothing_is_copied(new_job, data_dir):
    job = supervise(new_job(fault={"3": "die"}))
    names = sorted(path.name for path in (data_dir / "counting" / str(job.pk)).iterdir())
    assert supervise(job).state == State.SUCCEEDED
    assert files.is_local()
    assert "saved" in names
    assert ORIGIN not in names


@pytest.fixture
def held(new_job, move_to) -> Job:
    job = lease.take(new_job().pk, worker=process_ids.process_id())
    assert job is not None
    return job


def test_folders_are_mirrored_without_drafts(held, settings):
    folder = settings.DATA_DIR / "runs/7"
    for name in ("checkpoints/step-1/a", "checkpoints/step-1/COMPLETE", "checkpoints/.draft/a"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("one")
    (folder / "adapter").write_text("not named")
    with ProgressCopies(held, folder, ("checkpoints",)):
        wait_for(lambda: len(files.names_below("runs/7/checkpoints")) == 2)
        assert files.names_below("runs/7/checkpoints/step-1")
        (folder / "checkpoints/step-1").rename(folder / "checkpoints/step-2")
    assert set(files.names_below("runs/7")) == {
        "runs/7/checkpoints/step-2/a",
        "runs/7/checkpoints/step-2/COMPLETE",
        f"runs/7/{ORIGIN}",
    }


def test_a_training_takes_along_what_it_compares_itself_with(held, move_to, settings):
    """Another host would write other everyday answers; and what is not stored is never tidied."""
    kind = TrainingHandler.kind
    for name in (EVERYDAY, REFERENCE):
        (settings.DATA_DIR / "runs/7").mkdir(parents=True, exist_ok=True)
        (settings.DATA_DIR / "runs/7" / name).write_text("of the first host")
    with ProgressCopies(held, settings.DATA_DIR / "runs/7", kind.progress):
        pass
    assert local_copies._is_stored(settings.DATA_DIR / "runs/7")
    move_to("two")
    fetch_progress(settings.DATA_DIR / "runs/7", kind.progress)
    for name in (EVERYDAY, REFERENCE):
        assert (settings.DATA_DIR / "runs/7" / name).read_text() == "of the first host"


def test_a_checkpoint_that_is_removed_while_it_is_uploaded_arrives_whole(
    held, settings, monkeypatch
):
    """A child saves more often than a slow store takes its checkpoints."""
    folder, upload, stored = settings.DATA_DIR / "runs/7", files.upload, []
    first = folder / "checkpoints/step-1"
    first.mkdir(parents=True)
    for number, name in enumerate(("weights", "state", "COMPLETE")):
        (first / name).write_text(name)
        os.utime(first / name, ns=(number, number))

    def slowly(name: str, content: BinaryIO | None = None) -> None:
        shutil.rmtree(first, ignore_errors=True)
        upload(name, content)
        stored.append(name.rpartition("/")[2])

    monkeypatch.setattr(files, "upload", slowly)
    copies = ProgressCopies(held, folder, ("checkpoints",))
    copies._upload_changes()
    assert stored == [ORIGIN, "weights", "state", "COMPLETE"]
    assert default_storage.open("runs/7/checkpoints/step-1/weights").read() == b"weights"
    copies._upload_changes()
    assert files.names_below("runs/7/checkpoints") == []  # it is gone here, too


def test_who_lost_the_lease_writes_nothing(held, settings):
    folder = settings.DATA_DIR / "runs/7"
    folder.mkdir(parents=True)
    (folder / "saved").write_text("1")
    lease.release(held)
    with ProgressCopies(held, folder, ("saved",)):
        pass
    assert files.names_below("runs/7") == []


def test_the_last_upload_is_tried_again(held, settings, monkeypatch):
    folder = settings.DATA_DIR / "runs/7"
    folder.mkdir(parents=True)
    (folder / "saved").write_text("1")
    upload, failures = files.upload, [OSError("the store is away")]

    def sometimes(name: str, content: BinaryIO | None = None) -> None:
        if failures:
            raise failures.pop()
        upload(name, content)

    monkeypatch.setattr(files, "upload", sometimes)
    monkeypatch.setattr(progress_copies, "LOOK_SECONDS", 60)
    with ProgressCopies(held, folder, ("saved",)):
        pass
    assert sorted(files.names_below("runs/7")) == [f"runs/7/{ORIGIN}", "runs/7/saved"]


def test_nothing_is_fetched_for_a_job_that_never_ran(held, settings):
    fetch_progress(settings.DATA_DIR / "counting/1", ("saved",))
    assert not (settings.DATA_DIR / "counting/1").exists()

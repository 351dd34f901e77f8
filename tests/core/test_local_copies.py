"""Copies of files in a shared store: they go with the original, and when there are too many."""

import fcntl
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from finetune_app.core import files, local_copies
from finetune_app.core.models import Deletion
from tests.s3_store import s3_store

pytestmark = pytest.mark.django_db

IN_MEMORY = {"default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}
LONG_AGO = 7200.0  # seconds


@pytest.fixture
def move_to(settings, tmp_path) -> Callable[[str], Path]:
    """Be another host from now on, with a data folder of its own and the same store."""
    settings.STORAGES = settings.STORAGES | IN_MEMORY

    def move(name: str) -> Path:
        settings.DATA_DIR = tmp_path / name
        settings.DATA_DIR.mkdir(exist_ok=True)
        return settings.DATA_DIR

    return move


@pytest.fixture
def host(move_to) -> Path:
    return move_to("one")


def keep(name: str, size: int = 10) -> None:
    default_storage.save(name, ContentFile(b"x" * size))


def fetched(name: str, *, used: float = 0.0) -> Path:
    """The copy of a file, last used so many seconds ago."""
    path = files.local_path(name)
    os.utime(path.parent, (time.time() - used,) * 2)
    return path


def test_what_the_store_has_not_is_no_file_here(host, settings, monkeypatch):
    """As on a host whose disk is the store: whoever asks looks whether it is there."""
    assert not files.local_path("exports/7/model.zip").exists()
    with s3_store(settings, monkeypatch):
        assert not files.local_path("exports/7/model.zip").exists()


def test_what_is_deleted_on_one_host_goes_from_the_others(move_to):
    keep("runs/7/adapter")
    keep("runs/8/adapter")
    one = move_to("one")
    local_copies.tidy()
    files.local_path("runs/7/adapter")
    files.local_path("runs/8/adapter")
    move_to("two")
    files.delete_folder("runs/7")
    assert (one / "runs/7/adapter").exists()
    move_to("one")
    local_copies.tidy()
    assert not (one / "runs/7").exists()
    assert (one / "runs/8/adapter").exists()


def test_a_single_file_goes_too(move_to):
    keep("versions/3/1.jsonl")
    keep("versions/3/2.jsonl")
    one = move_to("one")
    local_copies.tidy()
    files.local_path("versions/3/1.jsonl")
    files.local_path("versions/3/2.jsonl")
    move_to("two")
    files.delete_file("versions/3/1.jsonl")
    move_to("one")
    local_copies.tidy()
    assert [path.name for path in (one / "versions/3").iterdir()] == ["2.jsonl"]
    assert default_storage.exists("versions/3/2.jsonl")


def test_each_deletion_is_looked_at_once(move_to, monkeypatch):
    move_to("one")
    local_copies.tidy()
    move_to("two")
    files.delete_folder("runs/7")
    move_to("one")
    local_copies.tidy()
    monkeypatch.setattr(files, "delete_local", lambda name: pytest.fail(name))
    local_copies.tidy()


def test_after_a_restore_older_notes_are_no_obstacle(host):
    files.delete_folder("runs/1")
    local_copies.tidy()
    Deletion.objects.all().delete()  # the database is an older one
    local_copies.tidy()
    (host / "runs/7").mkdir(parents=True)
    Deletion.objects.create(pk=1, name="runs/7", disk="another")
    local_copies.tidy()
    assert not (host / "runs/7").exists()


def test_what_came_after_a_deletion_under_the_same_name_stays(move_to):
    """A job that was stopped and continued at once writes into the same folder."""
    one = move_to("one")
    local_copies.tidy()
    for name in ("one", "two"):  # noted here, and on another host
        move_to(name)
        files.delete_folder("checks/7")
    move_to("one")
    again = one / "checks/7/rows.jsonl"
    again.parent.mkdir(parents=True)
    again.write_text("new")
    os.utime(again, (time.time() + 5,) * 2)
    local_copies.tidy()
    assert again.exists()


def test_a_host_does_not_apply_its_own_deletions_again(host, monkeypatch):
    local_copies.tidy()
    files.delete_folder("checks/7")
    monkeypatch.setattr(files, "delete_local", lambda name: pytest.fail(name))
    local_copies.tidy()


def test_with_one_store_on_this_disk_nothing_is_noted(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    (tmp_path / "runs/7").mkdir(parents=True)
    files.delete_folder("runs/7")
    assert not Deletion.objects.exists()


def test_those_go_that_were_not_used_for_longest(host):
    for name in ("runs/1/adapter", "runs/2/adapter", "models/tiny/weights"):
        keep(name, 100)
    old = fetched("runs/1/adapter", used=LONG_AGO + 2)
    older = fetched("models/tiny/weights", used=LONG_AGO + 3)
    new = fetched("runs/2/adapter", used=LONG_AGO)
    local_copies.make_room(200)
    assert (older.exists(), old.exists(), new.exists()) == (False, True, True)
    assert files.local_path("models/tiny/weights").read_bytes() == b"x" * 100  # fetched again


def test_what_was_used_lately_stays(host):
    keep("runs/1/adapter")
    copy = fetched("runs/1/adapter", used=60)
    local_copies.make_room(0)
    assert copy.exists()


def test_asking_for_a_copy_is_a_use(host):
    keep("runs/1/adapter")
    copy = fetched("runs/1/adapter", used=LONG_AGO)
    files.local_folder("runs/1")
    local_copies.make_room(0)
    assert copy.exists()


def test_what_the_store_has_not_is_never_deleted(host):
    keep("runs/1/adapter")
    copy = fetched("runs/1/adapter")
    (copy.parent / "checkpoint").write_text("only here")
    os.utime(copy.parent, (time.time() - LONG_AGO,) * 2)
    local_copies.make_room(0)
    assert copy.exists()


def test_what_is_no_copy_does_not_count(host):
    """Else it would push out everything else for ever."""
    keep("runs/1/adapter", 100)
    copy = fetched("runs/1/adapter", used=LONG_AGO)
    (host / "runs/2").mkdir()
    (host / "runs/2/rows").write_bytes(b"x" * 1000)
    local_copies.make_room(150)
    assert copy.exists()


def test_one_of_many_who_need_it_at_once_fetches_a_folder(host, monkeypatch):
    keep("models/tiny/weights", 1000)
    download, fetched = files.download, []

    def slowly(name: str) -> None:
        fetched.append(name)
        time.sleep(0.2)
        download(name)

    monkeypatch.setattr(files, "download", slowly)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(files.local_folder, ["models/tiny"] * 4))
    assert fetched == ["models/tiny/weights"]


def test_the_name_of_a_disk_stays(host, move_to):
    name = files.disk_id()
    assert name == files.disk_id()
    move_to("two")
    assert files.disk_id() != name


def test_what_a_job_asked_for_stays_until_it_ends(host):
    keep("models/tiny/weights")
    copy = fetched("models/tiny/weights", used=LONG_AGO)
    lock = host / "run/job-7.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.touch()
    os.utime(lock, (time.time() - LONG_AGO - 1,) * 2)
    with lock.open() as file:  # as its child does
        fcntl.flock(file, fcntl.LOCK_EX)
        local_copies.make_room(0)
        assert copy.exists()
    local_copies.make_room(0)
    assert not copy.exists()


def test_the_store_is_asked_for_a_folder_once_a_minute(host, monkeypatch):
    keep("runs/1/adapter")
    files.local_folder("runs/1")
    with monkeypatch.context() as patch:
        patch.setattr(files, "names_below", lambda prefix: pytest.fail("asked again"))
        assert (files.local_folder("runs/1") / "adapter").exists()
    files.delete_local("runs/1")
    assert (files.local_folder("runs/1") / "adapter").exists()

"""After a restore an S3-compatible store holds what the backup holds, and nothing else."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command

from finetune_app.core import files, in_use
from finetune_app.operations import exclusive_use
from tests.s3_store import s3_store

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def store(settings, monkeypatch, tmp_path):
    """A bucket, and a host with an empty folder."""
    monkeypatch.setattr(exclusive_use, "WATCH_SECONDS", 0)
    in_use.release()
    settings.DATA_DIR = tmp_path / "host"
    settings.DATA_DIR.mkdir()
    with s3_store(settings, monkeypatch):
        yield


def put(name: str, text: str) -> None:
    default_storage.save(name, ContentFile(text.encode()))


def read(name: str) -> str:
    return default_storage.open(name).read().decode()


def stored() -> set[str]:
    return {name for folder in ("uploads", "runs", "models") for name in files.names_below(folder)}


@pytest.fixture
def saved(tmp_path) -> Path:
    put("uploads/1/emails.csv", "as it was")
    put("runs/1/adapter/weights", "weights")
    put("models/tiny/config.json", "{}")
    target = tmp_path / "backup.tar.gz"
    call_command("backup", str(target), stdout=StringIO())
    return target


def restore(source: Path) -> str:
    out = StringIO()
    call_command("restore", str(source), stdout=out)
    return out.getvalue()


def test_newer_objects_are_removed_and_named(saved):
    put("uploads/1/emails.csv", "changed since")
    put("uploads/2/late.csv", "came after the backup")
    default_storage.delete("runs/1/adapter/weights")
    put("runs/9/adapter/weights", "came after the backup")
    said = restore(saved)
    assert stored() == {
        "uploads/1/emails.csv",
        "runs/1/adapter/weights",
        "models/tiny/config.json",  # base models are in no backup, and stay
    }
    assert read("uploads/1/emails.csv") == "as it was"
    assert read("runs/1/adapter/weights") == "weights"
    assert "On every other host, before it starts: empty its DATA_DIR" in said
    assert said.splitlines()[1:3] == ["  uploads/2/late.csv", "  runs/9/adapter/weights"]


def test_a_local_copy_of_a_removed_object_is_in_no_backup(saved, tmp_path, settings):
    files.local_path("uploads/1/emails.csv")
    default_storage.delete("uploads/1/emails.csv")
    again = tmp_path / "again.tar.gz"
    call_command("backup", str(again), stdout=StringIO())
    restore(again)
    assert stored() == {"runs/1/adapter/weights", "models/tiny/config.json"}
    assert not (settings.DATA_DIR / "uploads/1/emails.csv").exists()

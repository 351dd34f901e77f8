"""Files in local and remote storage, and folders that are never deleted."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from threading import Event

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from finetune_app.core import files

IN_MEMORY = {"default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}


@pytest.fixture
def folder(settings, tmp_path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


@pytest.fixture
def elsewhere(settings, folder) -> Path:
    """A remote store."""
    settings.STORAGES = settings.STORAGES | IN_MEMORY
    return folder


def keep(name: str, content: bytes) -> None:
    default_storage.save(name, ContentFile(content))


def test_a_local_file_is_used_where_it_lies(folder):
    assert files.is_local()
    assert files.local_path("versions/3/2.jsonl") == folder / "versions/3/2.jsonl"


def test_a_file_elsewhere_is_fetched_once(elsewhere):
    assert not files.is_local()
    keep("versions/3/2.jsonl", b"rows")
    path = files.local_path("versions/3/2.jsonl")
    assert path.read_bytes() == b"rows"
    default_storage.delete("versions/3/2.jsonl")
    assert files.local_path("versions/3/2.jsonl").read_bytes() == b"rows"


def test_several_may_fetch_it_at_the_same_moment(elsewhere, monkeypatch):
    keep("versions/3/2.jsonl", b"x" * 3_000_000)
    with monkeypatch.context() as patch, ThreadPoolExecutor(8) as pool:
        # In-memory storage returns the same open file to all readers; real storage does not.
        patch.setattr(files.default_storage, "open", lambda _name: BytesIO(b"x" * 3_000_000))
        found = list(pool.map(lambda _n: files.local_path("versions/3/2.jsonl"), range(8)))
    assert {path.stat().st_size for path in found} == {3_000_000}
    assert [path.name for path in found[0].parent.iterdir()] == [
        "2.jsonl"
    ]  # no temporary files left


def test_a_missing_file_leaves_no_temporary_file(elsewhere):
    assert not files.local_path("versions/3/9.jsonl").exists()
    with pytest.raises(FileNotFoundError):
        files.newest_path("versions/3/9.jsonl")
    assert list((elsewhere / "versions/3").iterdir()) == []


def test_a_folder_is_published_and_fetched(elsewhere):
    run = elsewhere / "runs/7/adapter"
    (run / "deep").mkdir(parents=True)
    (run / "weights").write_bytes(b"first")
    (run / "deep/er").write_bytes(b"more")
    files.publish_folder("runs/7/adapter")
    (run / "weights").write_bytes(b"second")
    files.publish_folder("runs/7/adapter")
    assert sorted(files.names_below("runs/7")) == [
        "runs/7/adapter/deep/er",
        "runs/7/adapter/weights",
    ]
    (run / "weights").unlink()
    again = files.local_folder("runs/7/adapter")
    assert (again / "weights").read_bytes() == b"second"


def store_that(names_below, monkeypatch) -> None:
    """From now on; no folder has been looked at lately."""
    files._looked_at.clear()
    monkeypatch.setattr(files, "names_below", names_below)
    monkeypatch.setattr(files, "STORE_SECONDS", 0.2)


def refuses(prefix: str) -> list[str]:
    raise ConnectionError


def test_a_folder_that_is_here_is_used_while_the_store_refuses(elsewhere, monkeypatch):
    keep("models/a/config.json", b"{}")
    folder = files.local_folder("models/a")
    store_that(refuses, monkeypatch)
    assert files.local_folder("models/a") == folder
    with pytest.raises(ConnectionError):
        files.local_folder("models/b")


def test_a_folder_that_is_here_is_used_while_the_store_says_nothing(elsewhere, monkeypatch):
    keep("models/a/config.json", b"{}")
    folder, goes_on, asked = files.local_folder("models/a"), Event(), []

    def waits(prefix: str) -> list[str]:
        asked.append(prefix)
        goes_on.wait(30)
        return []

    store_that(waits, monkeypatch)
    try:
        with ThreadPoolExecutor(4) as pool:  # who waited for another's question asks none
            assert set(pool.map(lambda _: files.local_folder("models/a"), range(4))) == {folder}
        assert asked == ["models/a"]
        assert files.local_folder("models/a") == folder  # nor is it asked again at once
        assert asked == ["models/a"]
    finally:
        goes_on.set()


@pytest.mark.django_db
def test_deleting_removes_it_here_and_there(elsewhere):
    keep("runs/7/adapter/weights", b"w")
    files.local_folder("runs/7")
    files.delete_folder("runs/7")
    assert files.names_below("runs/7") == []
    assert not (elsewhere / "runs/7").exists()
    files.delete_folder("runs/7")  # deleting twice is allowed


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "/",
        ".",
        "..",
        "runs",
        "runs/",
        "/etc/passwd",
        "/runs/7",
        "runs/..",
        "runs/../../etc",
        "runs/.",
        "./runs",
        "runs//7",
        "../runs/7",
        "runs/7/",
        "runs\\7\\x/y",
        "runs/ ",
    ],
)
def test_odd_names_are_never_deleted(folder, odd):
    (folder / "runs/7").mkdir(parents=True)
    with pytest.raises(ValueError, match="refusing"):
        files.delete_folder(odd)
    assert (folder / "runs/7").is_dir()


def test_a_hash_is_that_of_the_content(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.sha256_of(tmp_path / "abc").startswith("ba7816bf8f01cfea")

"""Upload a large file in chunks: resume, finish, delete, permissions."""

import errno
import shutil
from datetime import timedelta
from io import BytesIO

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path, names_below
from finetune_app.datasets.models import Import
from finetune_app.datasets.services import dataset_of
from finetune_app.goals.models import Goal
from finetune_app.imports import chunked_upload
from finetune_app.imports.models import Upload, UploadChunk
from tests.s3_store import s3_store

CONTENT = b"prompt,answer\n" + b"".join(b"Question %d?,Answer %d\n" % (n, n) for n in range(50))


@pytest.fixture
def start_upload(url, no_worker):
    def start(
        client,
        name: str = "large.csv",
        size: int = len(CONTENT),
        status: int = 201,
        modified: int = 1_764_000_000_000,
    ) -> dict:
        about = {"name": name, "size": size, "modified": modified}
        reply = client.post(url("uploads"), about)
        assert reply.status_code == status, reply.content
        return reply.json()

    return start


def chunks() -> list[str]:
    return list(UploadChunk.objects.values_list("stored_name", flat=True))


def put(client, upload: dict, offset: int, chunk: bytes):
    return client.put(f"{upload['url']}?offset={offset}", chunk, "application/octet-stream")


def test_uploading_all_chunks_creates_an_import(as_owner, start_upload, url):
    upload = start_upload(as_owner)
    assert (upload["received"], upload["size"]) == (0, len(CONTENT))
    for at in range(0, len(CONTENT), 400):
        state = put(as_owner, upload, at, CONTENT[at : at + 400]).json()
        assert state["received"] == min(at + 400, len(CONTENT))
    page = as_owner.post(upload["url"]).json()["page"]
    item = Import.objects.get()
    assert page == url("detail", import_id=item.pk)
    assert (item.step, item.file_name, item.size) == ("looking", "large.csv", len(CONTENT))
    assert local_path(item.stored_name).read_bytes() == CONTENT
    assert not Upload.objects.exists()


def test_an_upload_resumes_where_it_stopped(as_owner, start_upload):
    put(as_owner, start_upload(as_owner), 0, CONTENT[:500])
    again = start_upload(as_owner)
    assert again["received"] == 500
    assert as_owner.get(again["url"]).json()["received"] == 500
    assert Upload.objects.count() == 1


def test_a_file_of_another_size_is_another_upload(as_owner, start_upload):
    put(as_owner, start_upload(as_owner), 0, CONTENT[:500])
    assert start_upload(as_owner, size=len(CONTENT) + 1)["received"] == 0


def test_a_file_that_was_changed_meanwhile_is_another_upload(as_owner, start_upload):
    put(as_owner, start_upload(as_owner), 0, CONTENT[:500])
    changed = start_upload(as_owner, modified=1_764_000_000_001)
    assert changed["received"] == 0
    put(as_owner, changed, 0, CONTENT[:300])
    assert start_upload(as_owner)["received"] == 500


@pytest.mark.parametrize("offset", [0, 499, 501, 10**9])
def test_a_chunk_at_the_wrong_offset_gets_409_with_the_right_one(as_owner, start_upload, offset):
    upload = start_upload(as_owner)
    put(as_owner, upload, 0, CONTENT[:500])
    reply = put(as_owner, upload, offset, b"xxx")
    assert (reply.status_code, reply.json()["received"]) == (409, 500)


def test_a_chunk_beyond_the_size_is_rejected(as_owner, start_upload):
    upload = start_upload(as_owner, size=10)
    assert put(as_owner, upload, 0, b"x" * 11).status_code == 400
    assert as_owner.get(upload["url"]).json()["received"] == 0


@pytest.mark.parametrize("query", ["", "?offset=", "?offset=-1", "?offset=x"])
def test_a_chunk_without_an_offset_is_rejected(as_owner, start_upload, query):
    upload = start_upload(as_owner)
    reply = as_owner.put(upload["url"] + query, b"abc", "application/octet-stream")
    assert reply.status_code == 400


def test_finishing_an_incomplete_upload_is_rejected(as_owner, start_upload):
    upload = start_upload(as_owner)
    put(as_owner, upload, 0, CONTENT[:500])
    reply = as_owner.post(upload["url"])
    assert reply.status_code == 409
    assert "not arrived completely" in reply.json()["problem"]
    assert not Import.objects.exists()


def test_an_upload_resumes_at_the_first_chunk_that_was_lost(as_owner, start_upload):
    upload = start_upload(as_owner)
    for at in range(0, 500, 100):
        put(as_owner, upload, at, CONTENT[at : at + 100])
    local_path(chunks()[3]).unlink()
    assert start_upload(as_owner)["received"] == 300
    for at in range(300, len(CONTENT), 100):
        put(as_owner, upload, at, CONTENT[at : at + 100])
    as_owner.post(upload["url"])
    assert local_path(Import.objects.get().stored_name).read_bytes() == CONTENT


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b""), lambda path: path.unlink()])
def test_a_chunk_that_a_power_cut_spoilt_is_sent_again(as_owner, start_upload, spoil):
    upload = start_upload(as_owner)
    for at in range(0, len(CONTENT), 400):
        put(as_owner, upload, at, CONTENT[at : at + 400])
    spoil(local_path(chunks()[1]))
    reply = as_owner.post(upload["url"])
    assert (reply.status_code, "not arrived completely" in reply.json()["problem"]) == (409, True)
    assert not Import.objects.exists()
    assert as_owner.get(upload["url"]).json()["received"] == 400


def test_two_tabs_that_send_the_same_part_store_it_once(as_owner, owner, start_upload):
    upload = start_upload(as_owner)
    one, other = Upload.objects.get(), Upload.objects.get()

    def send(tab: Upload) -> int:
        return chunked_upload.append_chunk(
            upload=tab, offset=0, length=100, source=BytesIO(CONTENT)
        )

    assert send(one) == 100
    with pytest.raises(chunked_upload.WrongOffset):
        send(other)  # it was read before the first had arrived
    assert names_below(f"uploads/{one.pk.hex}") == chunks()
    assert as_owner.get(upload["url"]).json()["received"] == 100


def test_of_two_tabs_that_finish_one_makes_the_import(as_owner, start_upload):
    put(as_owner, start_upload(as_owner), 0, CONTENT)
    one, other = Upload.objects.get(), Upload.objects.get()
    chunked_upload.finish_upload(upload=one)
    with pytest.raises(PlainError):
        chunked_upload.finish_upload(upload=other)
    assert local_path(Import.objects.get().stored_name).read_bytes() == CONTENT


def test_a_full_disk_is_said_and_nothing_is_counted(as_owner, start_upload, monkeypatch):
    def full(*_given: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    upload = start_upload(as_owner)
    with monkeypatch.context() as patch:
        patch.setattr(default_storage, "save", full)
        assert put(as_owner, upload, 0, CONTENT[:500]).status_code == 507
    assert as_owner.get(upload["url"]).json()["received"] == 0
    put(as_owner, upload, 0, CONTENT)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        assert as_owner.post(upload["url"]).status_code == 507
    assert as_owner.post(upload["url"]).status_code == 200


def test_each_chunk_may_come_through_another_host(
    as_owner, start_upload, settings, monkeypatch, tmp_path, django_capture_on_commit_callbacks
):
    def move_to(name: str) -> None:
        settings.DATA_DIR = tmp_path / name

    with s3_store(settings, monkeypatch):
        upload = start_upload(as_owner)
        for at in range(0, len(CONTENT), 400):
            move_to("one" if at % 800 else "two")
            assert put(as_owner, upload, at, CONTENT[at : at + 400]).status_code == 200
        with django_capture_on_commit_callbacks(execute=True):
            as_owner.post(upload["url"])
        move_to("three")
        stored = Import.objects.get().stored_name
        assert local_path(stored).read_bytes() == CONTENT
        assert names_below(stored.rpartition("/")[0]) == [stored]


SIZES = [("0", 400), ("", 400), ("x", 400), (3 * 1024**3, 413)]


@pytest.mark.parametrize(("size", "status"), SIZES)
def test_an_invalid_size_is_rejected(as_owner, start_upload, size, status):
    assert start_upload(as_owner, size=size, status=status)["problem"]
    assert not Upload.objects.exists()


def test_too_little_disk_space_is_reported_at_the_start(as_owner, start_upload, monkeypatch):
    monkeypatch.setattr(
        "shutil.disk_usage", lambda _path: type("", (), {"free": 10**6, "total": 10**7})
    )
    assert "not enough space" in start_upload(as_owner, status=507)["problem"]


def test_a_user_may_have_three_unfinished_uploads(as_owner, as_editor, start_upload):
    for n in range(3):
        start_upload(as_owner, name=f"{n}.csv")
    assert "unfinished uploads" in start_upload(as_owner, name="4.csv", status=409)["problem"]
    start_upload(as_editor, name="4.csv")


def test_unfinished_uploads_of_another_goal_do_not_count(as_owner, start_upload, owner, team):
    other = dataset_of(Goal.objects.create(team=team, name="Another", created_by=owner))
    for n in range(3):
        Upload.objects.create(dataset=other, by=owner, file_name=f"{n}.csv", size=9)
    assert start_upload(as_owner)["received"] == 0


def test_an_unfinished_upload_can_be_deleted(
    as_owner, start_upload, url, django_capture_on_commit_callbacks
):
    upload = start_upload(as_owner)
    put(as_owner, upload, 0, CONTENT[:500])
    [path] = [local_path(name) for name in chunks()]
    page = as_owner.get(url("add")).content.decode()
    assert "Choose the same file again to continue." in page
    with django_capture_on_commit_callbacks(execute=True):
        as_owner.post(upload["url"], {"what": "forget"})
    assert not Upload.objects.exists()
    assert not path.exists()


def test_abandoned_uploads_are_deleted(as_owner, start_upload, django_capture_on_commit_callbacks):
    put(as_owner, start_upload(as_owner), 0, CONTENT[:500])
    [path] = [local_path(name) for name in chunks()]
    Upload.objects.update(at=timezone.now() - timedelta(hours=25))
    with django_capture_on_commit_callbacks(execute=True):
        start_upload(as_owner, name="another.csv")
    assert Upload.objects.get().file_name == "another.csv"
    assert not path.exists()


def test_only_the_user_who_started_an_upload_may_continue_it(
    as_owner, as_editor, as_viewer, as_stranger, start_upload, url
):
    upload = start_upload(as_owner)
    assert put(as_editor, upload, 0, b"abc").status_code == 409
    assert as_editor.delete(upload["url"]).status_code == 409
    assert put(as_viewer, upload, 0, b"abc").status_code == 403
    assert put(as_stranger, upload, 0, b"abc").status_code == 404
    assert as_viewer.post(url("uploads")).status_code == 403
    assert as_stranger.post(url("uploads")).status_code == 404
    assert as_owner.get(url("uploads")).status_code == 405
    assert as_owner.get(upload["url"]).json()["received"] == 0
    assert as_owner.delete(upload["url"]).status_code == 204

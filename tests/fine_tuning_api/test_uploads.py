"""POST /v1/uploads, …/parts, …/complete and …/cancel, through OpenAI's own client."""

import hashlib
from datetime import timedelta
from pathlib import Path

import httpx
import openai
import pytest
from django.conf import settings as configured
from django.utils import timezone

from finetune_app.accounts import storage
from finetune_app.fine_tuning_api import uploads
from finetune_app.fine_tuning_api.models import ApiFile, ApiUpload, ApiUploadPart
from finetune_app.fine_tuning_api.periodic_tasks import delete_expired_uploads
from tests.fine_tuning_api.uploads import lines

CONTENT = lines(30)
HALF = len(CONTENT) // 2


def start(client, size: int = len(CONTENT), **more: object):
    given = {"filename": "shop.jsonl", "purpose": "fine-tune", "mime_type": "application/jsonl"}
    return client.uploads.create(bytes=size, **given | more)


def send(client, upload, content: bytes) -> str:
    return client.uploads.parts.create(upload.id, data=content).id


@pytest.fixture
def upload(client):
    return start(client)


def stored_parts() -> list[Path]:
    folders = [Path(configured.DATA_DIR) / one.folder for one in ApiUpload.objects.all()]
    return [path for folder in folders for path in folder.glob("*")]


def test_parts_become_a_file_in_the_order_that_is_told(client, upload):
    assert (upload.status, upload.bytes, upload.purpose) == ("pending", len(CONTENT), "fine-tune")
    assert upload.expires_at - upload.created_at == 3600
    second, first = (send(client, upload, one) for one in (CONTENT[HALF:], CONTENT[:HALF]))
    md5 = hashlib.md5(CONTENT).hexdigest()
    done = client.uploads.complete(upload.id, part_ids=[first, second], md5=md5)
    assert (done.status, done.file.filename, done.file.bytes) == (
        "completed",
        "shop.jsonl",
        len(CONTENT),
    )
    assert client.files.content(done.file.id).content == CONTENT
    assert [one.id for one in client.files.list()] == [done.file.id]
    assert stored_parts() == []


def test_the_parts_of_a_file_do_not_count_a_second_time_when_it_is_joined(client, settings, team):
    settings.MAX_TEAM_BYTES = storage.stored_bytes(team) + len(CONTENT)
    whole = start(client)
    done = client.uploads.complete(whole.id, part_ids=[send(client, whole, CONTENT)])
    assert done.file.bytes == len(CONTENT)


def test_the_client_uploads_a_file_in_chunks_that_a_job_learns(client, tmp_path):
    path = tmp_path / "bikes.jsonl"
    path.write_bytes(CONTENT)
    done = client.uploads.upload_file_chunked(
        file=path, mime_type="application/jsonl", purpose="fine-tune", part_size=500
    )
    assert client.files.content(done.file.id).content == CONTENT
    job = client.fine_tuning.jobs.create(model="starter", training_file=done.file.id)
    assert job.status == "queued"


def test_parts_that_are_not_named_are_left_out(client, upload):
    parts = [send(client, upload, one) for one in (CONTENT[:HALF], CONTENT[HALF:])]
    with pytest.raises(openai.BadRequestError, match="were announced"):
        client.uploads.complete(upload.id, part_ids=parts[:1])
    assert client.uploads.complete(upload.id, part_ids=parts).status == "completed"


def test_a_broken_transfer_is_noticed(client, upload):
    part = send(client, upload, CONTENT)
    with pytest.raises(openai.BadRequestError, match=hashlib.md5(CONTENT).hexdigest()):
        client.uploads.complete(upload.id, part_ids=[part], md5="0" * 32)
    assert not ApiFile.objects.exists()


def test_a_cancelled_upload_leaves_nothing(client, upload):
    part = send(client, upload, CONTENT)
    assert stored_parts()
    assert client.uploads.cancel(upload.id).status == "cancelled"
    assert stored_parts() == []
    for late in (
        lambda: send(client, upload, CONTENT),
        lambda: client.uploads.complete(upload.id, part_ids=[part]),
        lambda: client.uploads.cancel(upload.id),
    ):
        with pytest.raises(openai.BadRequestError, match="is cancelled"):
            late()


def test_a_completed_upload_is_over(client, upload):
    part = send(client, upload, CONTENT)
    client.uploads.complete(upload.id, part_ids=[part])
    with pytest.raises(openai.BadRequestError, match="is completed"):
        client.uploads.complete(upload.id, part_ids=[part])
    assert ApiFile.objects.count() == 1


def test_an_upload_expires_after_an_hour_and_is_forgotten_a_day_later(client, upload):
    part = send(client, upload, CONTENT)
    delete_expired_uploads()
    assert stored_parts()
    uploads_of_all = ApiUpload.objects.all()
    uploads_of_all.update(expires_at=timezone.now() - timedelta(minutes=1))
    with pytest.raises(openai.BadRequestError, match="is expired"):
        client.uploads.complete(upload.id, part_ids=[part])
    delete_expired_uploads()
    assert stored_parts() == []
    assert not ApiUploadPart.objects.exists()
    uploads_of_all.update(expires_at=timezone.now() - timedelta(days=2))
    delete_expired_uploads()
    with pytest.raises(openai.NotFoundError):
        client.uploads.cancel(upload.id)


def test_the_file_expires_as_it_was_told_to_when_the_upload_began(client):
    begun = start(client, expires_after={"anchor": "created_at", "seconds": 7200})
    done = client.uploads.complete(begun.id, part_ids=[send(client, begun, CONTENT)])
    assert done.file.expires_at - done.file.created_at == 7200


def test_a_completed_file_stays_when_its_upload_is_forgotten(client, upload):
    done = client.uploads.complete(upload.id, part_ids=[send(client, upload, CONTENT)])
    ApiUpload.objects.update(expires_at=timezone.now() - timedelta(days=2))
    delete_expired_uploads()
    assert not ApiUpload.objects.exists()
    assert client.files.content(done.file.id).content == CONTENT


def test_parts_count_as_files_of_the_team(client, upload, team):
    before = storage.stored_bytes(team)
    send(client, upload, CONTENT[:HALF])
    assert storage.stored_bytes(team) == before + HALF


def test_parts_that_do_not_fit_are_refused(client, monkeypatch):
    upload = start(client, size=10)
    with pytest.raises(openai.BadRequestError, match="larger than the 10 bytes"):
        send(client, upload, b"x" * 11)
    with pytest.raises(openai.BadRequestError, match="1 byte"):
        send(client, upload, b"")
    monkeypatch.setattr(uploads, "MAX_PARTS", 1)
    send(client, upload, b"x")
    with pytest.raises(openai.BadRequestError, match="too many"):
        send(client, upload, b"x")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"purpose": "vision"}, "purpose"),
        ({"size": 0}, "bytes"),
        ({"filename": ""}, "filename"),
        ({"mime_type": ""}, "mime_type"),
        ({"extra_body": {"name": "x"}}, "name"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after"),
    ],
)
def test_an_invalid_upload_is_refused_by_name(client, more, param):
    with pytest.raises(openai.BadRequestError) as refused:
        start(client, **more)
    assert refused.value.param == param


def test_a_file_that_is_too_large_is_refused_before_its_parts(client, monkeypatch):
    with pytest.raises(openai.APIStatusError, match="larger than 100 MB") as refused:
        start(client, size=101 * 1024**2)
    assert refused.value.status_code == 413
    monkeypatch.setattr(uploads, "MAX_TEAM_BYTES", 100)
    start(client, size=60)
    with pytest.raises(openai.APIStatusError, match="Complete or cancel"):
        start(client, size=60)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "part_ids"),
        ({"part_ids": "part_1"}, "part_ids"),
        ({"part_ids": [1]}, "part_ids"),
        ({"part_ids": ["a", "a"]}, "part_ids"),
        ({"part_ids": [], "md5": 1}, "md5"),
        ({"part_ids": [], "bytes": 1}, "bytes"),
    ],
)
def test_an_invalid_completion_is_refused_by_name(client, upload, body, param):
    with pytest.raises(openai.BadRequestError) as refused:
        client.post(f"/uploads/{upload.id}/complete", body=body, cast_to=object)
    assert refused.value.param == param


def test_a_part_of_another_upload_is_unknown(client, upload):
    part = send(client, start(client), CONTENT)
    with pytest.raises(openai.BadRequestError, match=f"no part “{part}”"):
        client.uploads.complete(upload.id, part_ids=[part])


def test_another_team_finds_no_upload(client, upload, client_of, stranger):
    other = client_of(stranger)
    for ask in (
        lambda: send(other, upload, CONTENT),
        lambda: other.uploads.complete(upload.id, part_ids=[]),
        lambda: other.uploads.cancel(upload.id),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()
    assert not ApiUploadPart.objects.exists()


def test_other_methods_and_a_part_without_data_are_refused(client, upload, address):
    headers = {"Authorization": f"Bearer {client.api_key}"}
    url = f"{address}/uploads/{upload.id}/parts"
    assert httpx.get(url, headers=headers).status_code == 405
    reply = httpx.post(url, headers=headers, data={"more": "x"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "data")

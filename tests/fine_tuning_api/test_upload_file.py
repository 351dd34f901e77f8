"""POST, GET and DELETE /v1/files, through OpenAI's own client."""

from pathlib import Path

import httpx
import openai
import pytest
from django.conf import settings as configured
from django.utils import timezone

from finetune_app.fine_tuning_api.models import ApiFile
from finetune_app.fine_tuning_api.periodic_tasks import delete_expired_files
from tests.fine_tuning_api.uploads import lines, upload


def test_upload_read_and_delete_a_file(client):
    sent = upload(client)
    assert (sent.object, sent.purpose, sent.filename) == ("file", "fine-tune", "shop.jsonl")
    assert sent.bytes == len(lines())
    assert client.files.retrieve(sent.id).id == sent.id
    assert client.files.content(sent.id).content == lines()
    assert [one.id for one in client.files.list()] == [sent.id]
    stored = Path(configured.DATA_DIR) / ApiFile.objects.get().storage_path
    assert stored.exists()
    assert client.files.delete(sent.id).deleted
    assert not stored.exists()
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(sent.id)


def test_an_empty_file_or_another_purpose_is_refused(client):
    with pytest.raises(openai.BadRequestError, match="empty"):
        upload(client, b"")
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("x.jsonl", lines()), purpose="assistants")
    assert refused.value.param == "purpose"


def test_an_upload_without_a_file_is_refused(client, address):
    headers = {"Authorization": f"Bearer {client.api_key}"}
    reply = httpx.post(f"{address}/files", headers=headers, data={"purpose": "fine-tune"})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "file"


def test_a_file_expires_when_it_was_told_to(client):
    stays = upload(client)
    sent = client.files.create(
        file=("shop.jsonl", lines()),
        purpose="fine-tune",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert sent.expires_at - sent.created_at == 3600
    delete_expired_files()
    assert client.files.retrieve(sent.id).id == sent.id
    stored = Path(configured.DATA_DIR) / ApiFile.objects.get(expires_at__isnull=False).storage_path
    ApiFile.objects.filter(expires_at__isnull=False).update(expires_at=timezone.now())
    with pytest.raises(openai.NotFoundError):  # at once
        client.files.retrieve(sent.id)
    assert [one.id for one in client.files.list()] == [stays.id]
    delete_expired_files()
    assert not stored.exists()
    assert ApiFile.objects.count() == 1


@pytest.mark.parametrize(
    "expiry",
    [
        {"anchor": "created_at", "seconds": 60},
        {"anchor": "created_at", "seconds": 3_000_000},
        {"anchor": "last_used_at", "seconds": 3600},
        {"anchor": "created_at"},
    ],
)
def test_another_expiry_is_refused(client, expiry):
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("x.jsonl", lines()), purpose="fine-tune", expires_after=expiry)
    assert refused.value.param == "expires_after"


def test_an_unknown_field_is_refused_by_name(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(
            file=("x.jsonl", lines()), purpose="fine-tune", extra_body={"name": "shop"}
        )
    assert refused.value.param == "name"


def test_a_file_name_with_dots_cannot_leave_its_folder(client):
    sent = upload(client, name="../../etc/passwd")
    assert ApiFile.objects.get().storage_path.startswith("api-files/")
    assert client.files.content(sent.id).content == lines()


def test_other_teams_find_no_files(client, client_of, stranger):
    sent = upload(client)
    other = client_of(stranger)
    with pytest.raises(openai.NotFoundError):
        other.files.retrieve(sent.id)
    with pytest.raises(openai.NotFoundError):
        other.fine_tuning.jobs.create(model="starter", training_file=sent.id)
    assert list(other.files.list()) == []

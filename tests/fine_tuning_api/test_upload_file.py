"""POST, GET and DELETE /v1/files, through OpenAI's own client."""

from pathlib import Path

import httpx
import openai
import pytest
from django.conf import settings as configured

from finetune_app.fine_tuning_api.models import ApiFile
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

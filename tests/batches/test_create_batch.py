"""POST and GET /v1/batches: what is refused, lists, and other teams."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import openai
import pytest
from django.db import connection

from finetune_app.api_keys import services as api_keys
from finetune_app.batches import services
from finetune_app.batches.models import Batch
from finetune_app.core.errors import PlainError
from finetune_app.fine_tuning_api.models import ApiFile
from finetune_app.jobs import services as jobs
from tests.batches.batch_files import CHAT, content, line, send


@pytest.fixture
def file(client):
    return client.files.create(file=("rows.jsonl", content([line(1)])), purpose="batch")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"endpoint": "/v1/images/generations"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"metadata": {"a": "x" * 513}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, "output_expires_after"),
        ({"extra_body": {"priority": "high"}}, "priority"),
    ],
)
def test_what_cannot_be_is_refused_by_name(client, file, more, param):
    given = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(**given | more)
    assert refused.value.param == param


def test_a_file_for_training_is_no_batch(client):
    with pytest.raises(openai.BadRequestError, match="purpose") as refused:
        send(client, [line(1)], purpose="fine-tune")
    assert refused.value.param == "input_file_id"
    batch_file = client.files.create(file=("a.jsonl", content([line(1)])), purpose="batch")
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.fine_tuning.jobs.create(model="starter", training_file=batch_file.id)


def test_a_file_that_is_not_there(client, live):
    with pytest.raises(openai.NotFoundError):
        client.batches.create(
            input_file_id="file-" + "0" * 32, endpoint=CHAT, completion_window="24h"
        )


def test_lists_are_paged(client, live):
    made = [send(client, [line(n)]).id for n in range(5)]
    assert [one.id for one in client.batches.list(limit=2)] == made[::-1]  # goes on by itself
    page = client.batches.list(limit=2, after=made[3])
    assert [one.id for one in page.data] == [made[2], made[1]]
    assert page.has_more
    with pytest.raises(openai.NotFoundError):
        client.batches.list(after="batch_0")


def test_too_many_unfinished_batches_are_refused(client, live, monkeypatch):
    monkeypatch.setattr(services, "MAX_UNFINISHED", 1)
    send(client, [line(1)])
    with pytest.raises(openai.RateLimitError, match="not finished"):
        send(client, [line(1)])


def test_two_requests_at_once_do_not_both_get_the_last_place(file, key, live, monkeypatch):
    monkeypatch.setattr(services, "MAX_UNFINISHED", 1)
    both = threading.Barrier(2, timeout=2)
    create = jobs.create

    def create_together(**given):
        with suppress(threading.BrokenBarrierError):  # the other one waits for the lock
            both.wait()
        return create(**given)

    def start(_n: int) -> Batch | PlainError:
        try:
            return services.start_batch(
                key=key[0],
                endpoint=CHAT,
                input_file=ApiFile.objects.get(),
                metadata={},
                output_lifetime=None,
            )
        except PlainError as problem:
            return problem
        finally:
            connection.close()

    monkeypatch.setattr(jobs, "create", create_together)
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(start, range(2)))
    assert {type(end) for end in ends} == {Batch, PlainError}
    assert Batch.objects.count() == 1


def test_other_teams_find_no_batch(client, address, live, stranger):
    sent = send(client, [line(1)])
    _key, text = api_keys.create_key(team=stranger.teams.get(), by=stranger, name="x")
    other = openai.OpenAI(base_url=address, api_key=text, max_retries=0)
    assert list(other.batches.list()) == []
    for call in (other.batches.retrieve, other.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            call(sent.id)
    with pytest.raises(openai.NotFoundError):
        other.batches.create(
            input_file_id=sent.input_file_id, endpoint=CHAT, completion_window="24h"
        )


def test_a_key_of_one_deployment_makes_no_batches(address, live, team, owner):
    _key, text = api_keys.create_key(team=team, by=owner, name="x", deployment=live)
    narrow = openai.OpenAI(base_url=address, api_key=text, max_retries=0)
    with pytest.raises(openai.PermissionDeniedError, match="one model alone"):
        narrow.batches.list()


def test_a_key_that_may_make_no_embeddings_makes_no_batch_of_them(address, live, team, owner):
    _key, text = api_keys.create_key(team=team, by=owner, name="x", actions=["chat", "files"])
    client = openai.OpenAI(base_url=address, api_key=text, max_retries=0)
    with pytest.raises(openai.PermissionDeniedError, match="embeddings"):
        send(client, [line(1)], endpoint="/v1/embeddings")


def test_wrong_methods(address, key, live):
    headers = {"Authorization": f"Bearer {key[1]}"}
    assert httpx.delete(f"{address}/batches", headers=headers).status_code == 405
    assert httpx.get(f"{address}/batches/x/cancel", headers=headers).status_code == 405

"""The handlers that serve pages and the API: their threads, and what the API gets of middleware."""

import asyncio
import logging
import threading

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError

from finetune_app.api_keys import services as api_keys
from finetune_app.audit import services as audit
from finetune_app.audit.models import AuditEntry
from finetune_app.core.asgi_handlers import PagesAndApi, RequestThreads
from finetune_app.core.audit import AuditAction
from finetune_app.monitoring.middleware import WEB_REQUESTS
from tests.security.test_every_page import lacking

# ---- Threads ----


async def used_by(threads: RequestThreads) -> int:
    """The thread of a request, which does two things in it."""
    async with threads.one():
        first = await sync_to_async(threading.get_ident)()
        assert await sync_to_async(threading.get_ident)() == first
        return first


async def until(condition) -> None:
    for _wait in range(400):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come about")


def test_a_thread_goes_on_to_the_next_request():
    async def story() -> set[int]:
        threads, found = RequestThreads(), set()
        for _request in range(3):
            found.add(await used_by(threads))
            await until(lambda: threads._free)
        return found

    assert len(asyncio.run(story())) == 1


def test_requests_at_the_same_time_have_a_thread_each():
    async def story() -> None:
        threads = RequestThreads()
        async with threads.one():
            mine = await sync_to_async(threading.get_ident)()
            other = await asyncio.create_task(used_by(threads))
        assert mine != other

    asyncio.run(story())


def test_no_more_threads_are_kept_than_are_to_be():
    async def story() -> None:
        before, threads = set(threading.enumerate()), RequestThreads(kept=1)
        async with threads.one(), threads.one(), threads.one():
            await asyncio.gather(*(used_by(threads) for _request in range(3)))
        await until(lambda: len(set(threading.enumerate()) - before) == 1)

    asyncio.run(story())


def test_a_request_that_fails_gives_its_thread_back():
    async def story() -> None:
        threads = RequestThreads()
        first = await used_by(threads)
        await until(lambda: threads._free)
        with pytest.raises(ZeroDivisionError):
            async with threads.one():
                await sync_to_async(lambda: 1 / 0)()
        await until(lambda: threads._free)
        assert await used_by(threads) == first

    asyncio.run(story())


def test_nobody_waits_for_the_thread_of_a_request_that_was_broken_off():
    """Its page is still being computed."""

    async def story() -> None:
        threads, going_on = RequestThreads(), threading.Event()

        async def slow() -> None:
            async with threads.one():
                await sync_to_async(going_on.wait)(60)

        broken_off = asyncio.create_task(slow())
        await asyncio.sleep(0.05)
        broken_off.cancel()
        await asyncio.wait([broken_off])
        await asyncio.wait_for(used_by(threads), 20)
        going_on.set()
        await until(lambda: len(threads._free) == 2)

    asyncio.run(story())


# ---- The API ----


@pytest.fixture
def ask(transactional_db):
    """ask(method, address, **more): the response, as it is served."""

    def ask(method: str, address: str, host: str = "http://localhost", **more) -> httpx.Response:
        async def story() -> httpx.Response:
            transport = httpx.ASGITransport(app=PagesAndApi(), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=host) as client:
                return await client.request(method, address, **more)

        return asyncio.run(story())

    return ask


@pytest.fixture
def headers(team, owner) -> dict[str, str]:
    """Of a program with a key of the team."""
    _key, text = api_keys.create_key(team=team, by=owner, name="Shop", actions=["files"])
    return {"Authorization": f"Bearer {text}"}


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [("GET", "/v1/models", 401), ("DELETE", "/v1/models", 405), ("GET", "/v1/nothing", 401)],
)
def test_its_answers_have_the_headers_of_every_page(ask, method, address, status):
    response = ask(method, address)
    assert (response.status_code, list(lacking(response.headers))) == (status, [])
    assert int(response.headers["Content-Length"]) == len(response.content)
    assert "Set-Cookie" not in response.headers


def test_it_answers_at_no_other_host(ask):
    assert ask("GET", "/v1/models", host="http://elsewhere.example").status_code == 400


def test_it_sends_others_to_https(ask, settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 60
    sent = ask("GET", "/v1/models")
    assert (sent.status_code, sent.headers["Location"]) == (301, "https://localhost/v1/models")
    safe = ask("GET", "/v1/models", host="https://localhost")
    assert (safe.status_code, safe.headers["Strict-Transport-Security"][:10]) == (401, "max-age=60")


def test_what_a_program_does_leaves_a_line(ask, headers, team):
    assert ask("DELETE", "/v1/files/file-0", headers=headers).status_code == 404
    line = AuditEntry.objects.get(action=AuditAction.FILE_DELETED)
    assert (line.status, line.team_id, line.actor_id) == (404, team.pk, None)
    assert line.key_id


def test_without_a_key_it_leaves_none(ask):
    assert ask("DELETE", "/v1/files/file-0").status_code == 401
    assert not AuditEntry.objects.exists()


def test_it_is_answered_when_no_line_can_be_written(ask, headers, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise DatabaseError("disk full")

    monkeypatch.setattr(audit, "record_request", fail)
    with caplog.at_level(logging.ERROR):
        assert ask("DELETE", "/v1/files/file-0", headers=headers).status_code == 404
    assert AuditAction.FILE_DELETED in caplog.text


def test_it_is_counted_by_its_route(ask):
    counter = WEB_REQUESTS.labels("GET", "v1/models", "401")
    before = counter._value.get()
    ask("GET", "/v1/models")
    assert counter._value.get() == before + 1


def test_a_session_opens_no_door(ask, as_owner):
    cookies = {name: one.value for name, one in as_owner.cookies.items()}
    assert ask("GET", "/v1/models", cookies=cookies).status_code == 401

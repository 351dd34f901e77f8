"""Too many requests at once: some are handled, some wait, the others are told to come back."""

import asyncio
import json

import httpx
import pytest
from django.db import OperationalError
from psycopg_pool import PoolTimeout

from finetune_app.core.asgi_handlers import PagesAndApi
from finetune_app.core.request_limits import RequestLimit, TooBusy


@pytest.fixture
def handler(transactional_db) -> PagesAndApi:
    """With one place for pages, in which nobody waits long."""
    handler = PagesAndApi()
    handler.pages.limit = RequestLimit(at_once=1, waiting=1, wait_seconds=0.05)
    handler.api.limit = RequestLimit(at_once=1, waiting=0, wait_seconds=0.05)
    return handler


async def get(handler: PagesAndApi, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=handler)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path)


def test_a_page_waits_for_a_place_and_is_then_refused(handler):
    async def story() -> tuple[httpx.Response, httpx.Response]:
        async with handler.pages.limit.place():
            refused = await get(handler, "/sign-in/")
        return refused, await get(handler, "/sign-in/")

    refused, later = asyncio.run(story())
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.headers["Refresh"] == refused.headers["Retry-After"]
    assert "Nothing was changed or lost" in refused.text
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    assert refused.headers["X-Frame-Options"] == "DENY"
    assert later.status_code in (200, 302)


def test_the_api_has_places_of_its_own_and_refuses_in_its_own_format(handler):
    async def story() -> tuple[httpx.Response, httpx.Response]:
        async with handler.pages.limit.place():
            answered = await get(handler, "/v1/models")
        async with handler.api.limit.place():
            return answered, await get(handler, "/v1/models")

    answered, refused = asyncio.run(story())
    assert answered.status_code == 401  # without a key, but handled
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert json.loads(refused.text)["error"]["code"] == "server_busy"


def test_a_place_is_given_to_one_that_waits():
    async def story() -> list[str]:
        limit, order = RequestLimit(at_once=1, waiting=5, wait_seconds=5.0), []

        async def one(name: str) -> None:
            async with limit.place():
                order.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(*(one(name) for name in "abc"))
        return order

    assert asyncio.run(story()) == ["a", "b", "c"]


def test_more_than_may_wait_are_refused_at_once():
    async def story() -> int:
        limit, refused = RequestLimit(at_once=2, waiting=3, wait_seconds=5.0), 0
        done = asyncio.Event()

        async def one() -> None:
            nonlocal refused
            try:
                async with limit.place():
                    await done.wait()
            except TooBusy:
                refused += 1

        tasks = [asyncio.create_task(one()) for _ in range(9)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        done.set()
        await asyncio.gather(*tasks)
        return refused

    assert asyncio.run(story()) == 4


def test_one_that_is_cancelled_while_waiting_leaves_its_place_to_others():
    async def story() -> None:
        limit = RequestLimit(at_once=1, waiting=1, wait_seconds=5.0)

        async def wait() -> None:
            async with limit.place():
                pass

        async with limit.place():
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            other = asyncio.create_task(wait())
            await asyncio.sleep(0)
        await asyncio.wait_for(other, 1)

    asyncio.run(story())


def no_connection(*args: object, **more: object) -> None:
    """As when every connection of the pool is in use for ten seconds."""
    raise OperationalError("couldn't get a connection after 10 s") from PoolTimeout("10 s")


def test_a_page_that_gets_no_database_connection_is_told_to_come_back(as_owner, monkeypatch):
    monkeypatch.setattr("finetune_app.guide.views.render_page", no_connection)
    as_owner.raise_request_exception = False
    refused = as_owner.get("/")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert "Nothing was changed or lost" in refused.content.decode()


def test_an_api_request_that_gets_no_database_connection_is_told_to_come_back(
    client, db, monkeypatch
):
    monkeypatch.setattr("finetune_app.gateway.access.authorised_key", no_connection)
    refused = client.get("/v1/models")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert refused.json()["error"]["code"] == "server_busy"

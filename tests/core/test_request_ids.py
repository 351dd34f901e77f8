"""Each request has an id: its own or a new one, on the response and in the log."""

import asyncio

import httpx
import pytest

from finetune_app.asgi import application
from finetune_app.core.logs import request_id
from finetune_app.core.request_ids import HEADER, RequestIds


def get(app, headers: dict | None = None, path: str = "/nowhere/") -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.get(path, headers=headers)

    return asyncio.run(ask())


async def no_content(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_a_given_id_is_kept(db):
    response = get(application, {HEADER: "proxy-7.a_B"})
    assert (response.status_code, response.headers.get_list(HEADER)) == (404, ["proxy-7.a_B"])


def test_without_one_each_request_gets_its_own(db):
    first, second = (get(application).headers[HEADER] for _ in range(2))
    assert len(first) == len(second) == 16
    assert first != second


@pytest.mark.parametrize("given", [b"", b"a b", b"x\nroot signed in", b"<b>", b"\xff", b"a" * 65])
def test_an_id_that_is_not_sane_is_replaced(given):
    name = get(RequestIds(no_content), {HEADER.encode(): given}).headers[HEADER]
    assert name.isalnum()
    assert len(name) == 16


def test_lines_of_the_log_carry_the_id_of_the_response():
    seen: list[str] = []

    async def app(scope, receive, send):
        seen.append(request_id.get())
        await no_content(scope, receive, send)

    assert get(RequestIds(app), {HEADER: "abc"}).headers[HEADER] == "abc"
    assert seen == ["abc"]
    assert request_id.get() == "", "it ends with its request"


def test_a_refusal_before_any_view_carries_it_too():
    """A body that is too large is refused by an ASGI middleware, without Django."""
    response = get(application, {HEADER: "abc", "Content-Length": str(10**12)})
    assert (response.status_code, response.headers[HEADER]) == (401, "abc")

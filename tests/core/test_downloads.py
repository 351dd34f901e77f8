"""Downloads are streamed, under ASGI too, and close their source when aborted."""

import asyncio
import threading
from collections.abc import Generator

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.test import RequestFactory

from finetune_app.core import connections
from finetune_app.core.downloads import download


def counting(made: list[str]) -> Generator[bytes]:
    try:
        for number in range(1000):
            made.append(str(number))
            yield b"x" * 10
    finally:
        made.append("closed")


def asgi_request() -> ASGIRequest:
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    return ASGIRequest(scope, None)


def test_pieces_are_made_as_they_are_sent():
    made: list[str] = []
    reply = download(RequestFactory().get("/"), counting(made), name="a.csv", content_type="x/y")
    pieces = iter(reply.streaming_content)
    next(pieces)
    next(pieces)
    assert len(made) <= 3
    assert reply["Content-Disposition"] == 'attachment; filename="a.csv"'


def test_under_asgi_nothing_is_gathered_first_and_a_break_ends_the_source():
    made: list[str] = []
    reply = download(asgi_request(), counting(made), name="a.csv", content_type="x/y")
    assert reply.is_async

    async def some() -> None:
        pieces = reply.streaming_content.__aiter__()
        await pieces.__anext__()
        await pieces.__anext__()
        assert len(made) <= 3
        await pieces.aclose()

    asyncio.run(some())
    assert made[-1] == "closed"


def test_under_asgi_all_of_it_arrives():
    reply = download(asgi_request(), counting([]), name="a.csv", content_type="x/y")

    async def all_of_it() -> bytes:
        return b"".join([piece async for piece in reply])

    assert asyncio.run(all_of_it()) == b"x" * 10_000


def test_what_fails_at_the_start_is_an_error_and_not_an_empty_file():
    def broken() -> Generator[bytes]:
        raise OSError("no such file")
        yield b""

    with pytest.raises(OSError, match="no such"):
        download(RequestFactory().get("/"), broken(), name="a.csv", content_type="x/y")


def test_each_piece_gives_back_the_connection_that_it_opened(monkeypatch):
    """Its thread belongs to no request: nobody else would, nor notice that it broke."""
    threads: list[int] = []
    monkeypatch.setattr(connections, "give_back", lambda: threads.append(threading.get_ident()))
    made: list[int] = []

    def pieces() -> Generator[bytes]:
        for _ in range(3):
            made.append(threading.get_ident())
            yield b"x"

    reply = download(asgi_request(), pieces(), name="a.csv", content_type="x/y")

    async def all_of_it() -> None:
        async for _piece in reply:
            pass

    asyncio.run(all_of_it())
    assert threads[: len(made) - 1] == made[1:]

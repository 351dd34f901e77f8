"""Bodies that are far too large are rejected before they are stored."""

import asyncio
from collections.abc import Iterator

import pytest
from django.core.handlers import asgi

from finetune_app.api_keys import senders
from finetune_app.asgi import application
from finetune_app.core import body_limit
from finetune_app.core.body_limit import FORM_OVERHEAD_BYTES

MOST = 100_000
BLOCK = 60_000
FILE = (b"content-type", b"multipart/form-data; boundary=x")
CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.fixture(autouse=True)
def _small_uploads(settings):
    settings.MAX_UPLOAD_BYTES = MOST


@pytest.fixture(autouse=True)
def known(monkeypatch) -> list[bool]:
    """Whether the sender is known; True at first."""
    answer = [True]

    async def is_known_sender(scope: dict) -> bool:
        return answer[0]

    monkeypatch.setattr(senders, "is_known_sender", is_known_sender)
    return answer


@pytest.fixture
def written(monkeypatch) -> list[int]:
    """The sizes of the chunks that Django writes to its temporary file."""
    pieces: list[int] = []
    made = asgi.tempfile.SpooledTemporaryFile

    class Noted(made):
        def write(self, data: bytes) -> int:
            pieces.append(len(data))
            return super().write(data)

    monkeypatch.setattr(asgi.tempfile, "SpooledTemporaryFile", Noted)
    return pieces


def post(size: int, *headers: tuple[bytes, bytes], method: str = "POST") -> tuple[int, str, int]:
    """Send `size` bytes to an unknown address: (status, text, bytes not read)."""
    pieces, sent = blocks(size), []
    scope = {
        "type": "http",
        "method": method,
        "path": "/nowhere/",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), FILE, *headers],
    }

    async def receive() -> dict:
        piece = next(pieces, None)
        if piece is None:
            await asyncio.Event().wait()  # the browser waits for the response
        return {"type": "http.request", "body": piece, "more_body": len(piece) == BLOCK}

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    text = b"".join(message.get("body", b"") for message in sent).decode()
    return sent[0]["status"], text, sum(len(piece) for piece in pieces)


def blocks(size: int) -> Iterator[bytes]:
    yield from [b"x" * BLOCK] * (size // BLOCK)
    yield b"x" * (size % BLOCK)


def length(size: int) -> tuple[bytes, bytes]:
    return (b"content-length", str(size).encode())


@pytest.mark.parametrize("said", [b"210763777", b"9" * 5000])
def test_a_body_with_too_large_a_length_is_not_read(written, settings, said):
    """The first is one byte above the limit."""
    settings.MAX_UPLOAD_BYTES = 200 * 1024 * 1024
    status, text, left = post(600_000, (b"content-length", said))
    assert (status, left) == (413, 600_000)
    assert "larger than 200 MB" in text
    assert "split the file" in text
    assert written == []


@pytest.mark.parametrize("headers", [[], [length(10)], [(b"content-length", b"\xb2")]])
def test_a_body_without_a_length_is_read_up_to_the_limit(written, headers):
    status, text, left = post(5_000_000, *headers)
    assert status == 413
    assert "split the file" in text
    assert left > 3_000_000
    assert sum(written) <= MOST + FORM_OVERHEAD_BYTES


def test_bodies_without_files_have_a_smaller_limit(written, settings):
    """Django's own limit needs a Content-Length; this body has none."""
    settings.MAX_UPLOAD_BYTES, settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 4_000_000, MOST
    status, text, left = post(5_000_000, (b"content-type", b"application/x-www-form-urlencoded"))
    assert status == 413
    assert "split the file" in text
    assert left > 3_000_000
    assert sum(written) <= MOST + FORM_OVERHEAD_BYTES


def test_a_body_slightly_above_the_limit_reaches_the_view(written, db):
    """The form then shows the error."""
    size = MOST + FORM_OVERHEAD_BYTES
    status, _text, left = post(size, length(size))
    assert (status, left) == (404, 0)
    assert sum(written) == size


def test_a_large_body_of_an_unknown_sender_is_not_read(written, known, settings):
    settings.MAX_UPLOAD_BYTES = 200 * 1024 * 1024
    known[0] = False
    status, text, left = post(5_000_000, length(5_000_000))
    assert (status, left) == (401, 5_000_000)
    assert "Sign in and try again" in text
    assert written == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("headers", [[CHUNKED], [CHUNKED, length(10)]])
def test_a_body_in_chunks_of_an_unknown_sender_is_read_up_to_a_form(
    written, known, settings, monkeypatch, method, headers
):
    """Django stores the body of every method. Where a length is said as well, the chunks count."""
    monkeypatch.setattr(body_limit, "UNKNOWN_SENDER_BYTES", MOST)
    settings.MAX_UPLOAD_BYTES = 200 * 1024 * 1024
    known[0] = False
    status, _text, left = post(5_000_000, *headers, method=method)
    assert status == 401
    assert left > 3_000_000
    assert sum(written) <= MOST + FORM_OVERHEAD_BYTES


def test_a_form_of_an_unknown_sender_reaches_the_view(known, db):
    known[0] = False
    status, _text, left = post(50_000, length(50_000))
    assert (status, left) == (404, 0)

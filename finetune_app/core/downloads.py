"""Streamed downloads, generated on the fly."""

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from pathlib import Path

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

BLOCK = 1 << 18  # bytes


def download(
    request: HttpRequest, pieces: Generator[bytes], *, name: str, content_type: str
) -> StreamingHttpResponse:
    """A streaming response. `name` is ASCII. Errors before the first chunk are raised here."""
    first = next(pieces, b"")
    response = StreamingHttpResponse(
        _in_threads(first, pieces) if isinstance(request, ASGIRequest) else _all(first, pieces),
        content_type=content_type,
    )
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Accel-Buffering"] = "no"
    return response


def file_chunks(path: Path) -> Generator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def _all(first: bytes, pieces: Generator[bytes]) -> Generator[bytes]:
    yield first
    yield from pieces


async def _in_threads(first: bytes, pieces: Generator[bytes]) -> AsyncIterator[bytes]:
    """An async iterator: under ASGI Django would read a plain one into memory first."""
    try:
        yield first
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece
    finally:
        with suppress(ValueError):  # still running in its thread, which closes it
            pieces.close()

"""Streamed downloads, generated on the fly."""

import asyncio
import os
from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from pathlib import Path
from typing import IO

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from finetune_app.core import connections

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


def download_file(
    request: HttpRequest, file: IO[bytes], *, name: str, content_type: str
) -> StreamingHttpResponse:
    """The same of an open file, such as a temporary one. It is closed at the end."""
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    response = download(request, _chunks(file), name=name, content_type=content_type)
    response["Content-Length"] = str(length)
    return response


def file_chunks(path: Path) -> Generator[bytes]:
    yield from _chunks(path.open("rb"))


def _chunks(file: IO[bytes]) -> Generator[bytes]:
    with file:
        while block := file.read(BLOCK):
            yield block


def _all(first: bytes, pieces: Generator[bytes]) -> Generator[bytes]:
    yield first
    yield from pieces


async def _in_threads(first: bytes, pieces: Generator[bytes]) -> AsyncIterator[bytes]:
    """An async iterator: under ASGI Django would read a plain one into memory first."""
    try:
        yield first
        while piece := await asyncio.to_thread(_next, pieces):
            yield piece
    finally:
        with suppress(ValueError):  # still running in its thread, which closes it
            pieces.close()


def _next(pieces: Generator[bytes]) -> bytes:
    """The next piece, b"" after the last. These threads belong to no request, so nobody else gives
    back the connection that a query opened here, or notices that it broke."""
    try:
        return next(pieces, b"")
    finally:
        connections.give_back()

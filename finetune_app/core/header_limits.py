"""Ends connections whose headers arrive too slowly, or never end; uvicorn limits neither."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_TIMEOUT_SECONDS = 20.0  # for the request line and all headers of a request
MAX_HEADER_BYTES = 64 * 1024  # of them together, and of what else is between pieces of a body


class HeaderLimitsProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a timer from the connection, or the first byte of a further request,
    until its headers are there. Between requests uvicorn's keep-alive timeout holds.

    The parser keeps a header until it ends, so what is counted are the bytes since it last told of
    anything (at most one read more, 256 kB), and the headers that it told of. Those after a body,
    which nobody asks for, are left out.
    """

    _header_timer: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _untold_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        self._untold_bytes += len(data)
        super().data_received(data)
        if self._untold_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response("The headers are too long.")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        self._start_timer()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._untold_bytes = 0
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ValueError("The headers are too long.")  # uvicorn answers 400
        if self._header_timer:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._untold_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._untold_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._untold_bytes = 0
        super().on_message_complete()

    def _start_timer(self) -> None:
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(HEADER_TIMEOUT_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._header_timer:
            self._header_timer.cancel()
            self._header_timer = None

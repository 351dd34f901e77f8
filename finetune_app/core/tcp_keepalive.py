"""How soon a connection to an engine notices that the engine's host is gone.

One that loses its power says nothing, and the system would wait for a quarter of an hour. A host
that is only slow goes on answering, by its kernel; but an engine that has read nothing for so long
of a request larger than its buffers (about 200 KB) counts as gone as well.
"""

import socket

IDLE_SECONDS = 2  # without a packet, until it is asked
ASK_SECONDS = 1  # between two questions
GONE_SECONDS = 4  # without any answer: gone

# By their names, since macOS lacks some.
TCP_OPTIONS = {
    "TCP_KEEPIDLE": IDLE_SECONDS,
    "TCP_KEEPINTVL": ASK_SECONDS,
    "TCP_KEEPCNT": GONE_SECONDS - IDLE_SECONDS,
    "TCP_USER_TIMEOUT": GONE_SECONDS * 1000,
}


def socket_options() -> list[tuple[int, int, int]]:
    """For setsockopt."""
    tcp = [
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in TCP_OPTIONS.items()
        if hasattr(socket, name)
    ]
    return [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *tcp]

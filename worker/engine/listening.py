"""How the engine process listens, and how it ends: with its parent, or once it is told to."""

import os
import socket
import ssl
import stat
import sys
import threading
import time
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

QUICK_END_SECONDS = 1.0  # for answers under way, on one computer
DRAIN_SECONDS = 60.0  # the same where other engines take the next requests


def exit_with_parent() -> None:
    """Exit when the parent process is gone, however it ended.

    A watcher thread, because the kernel's parent-death signal is tied to the thread that started
    this process and would fire when only that thread ends.
    """
    parent = os.getppid()

    def watch_parent() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(0)

    def watch_stdin() -> None:
        while sys.stdin.buffer.read(1024):
            pass
        os._exit(0)

    threading.Thread(target=watch_parent, daemon=True).start()
    if stat.S_ISFIFO(os.fstat(0).st_mode):  # a pipe that the parent holds open
        threading.Thread(target=watch_stdin, daemon=True).start()


class Server(uvicorn.Server):
    """Ends soon after a SIGTERM: does not wait for a model that is loading or a step under way.

    It takes no new requests from then on, and finishes answers for `timeout_graceful_shutdown`.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        seconds = (self.config.timeout_graceful_shutdown or 0) + 0.5
        deadline = threading.Timer(seconds, os._exit, (0,))
        deadline.daemon = True
        deadline.start()
        await super().shutdown(sockets)


def listen(path: Path) -> socket.socket:
    """A listening Unix socket that only this user may open; replaces a stale one.

    The file gets its name once the socket listens: whoever sees it can connect, even while the
    server is still starting.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old_mask = os.umask(0o177)
    try:
        server.bind(str(draft))
    finally:
        os.umask(old_mask)
    server.listen(128)
    draft.replace(path)
    return server


def listen_on_network(address: str) -> socket.socket:
    """A listening TCP socket; `address` is host:port."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host.strip("[]"), int(port)), family=family, backlog=128)


def server_for(app: ASGIApp, *, secret: str, on_network: bool) -> Server:
    """On a network with mutual TLS (core/engine_tls.py)."""

    def tls(_config: object, _default: object) -> ssl.SSLContext:
        from finetune_app.core.engine_tls import server_context  # memory that one computer saves

        return server_context(secret)

    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=int(DRAIN_SECONDS if on_network else QUICK_END_SECONDS),
        ssl_context_factory=tls if on_network else None,
    )
    return Server(config)

"""Serves the application with uvicorn in a thread."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from finetune_app.asgi import application
from finetune_app.core.header_limits import HeaderLimitsProtocol


@contextmanager
def serving() -> Iterator[str]:
    """The API's address. It sees only committed rows."""
    server = uvicorn.Server(
        uvicorn.Config(application, port=0, log_level="error", http=HeaderLimitsProtocol)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    thread.join(10)

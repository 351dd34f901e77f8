"""How each web process answers requests; gunicorn starts them (finetune_app/web_server.py)."""

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker

from finetune_app.core import call_stack
from finetune_app.core.header_limits import HeaderLimitsProtocol


class WebWorker(UvicornWorker):  # type: ignore[misc]  # it has no types
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "asyncio",
        "http": HeaderLimitsProtocol,
        "lifespan": "off",
        "access_log": False,
        "server_header": False,
        # Else uvicorn takes a client's address from a header that anybody on this machine or
        # behind a proxy on it can write; core/requests.py reads it where a proxy is trusted.
        "proxy_headers": False,
    }

    def run(self) -> None:
        call_stack.call(super().run)  # the API answers on the event loop, in this thread

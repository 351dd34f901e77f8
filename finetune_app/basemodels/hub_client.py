"""The Hub's official client (`huggingface_hub` 2.4), connected through the guard of remote models.

It makes no tries of its own: whoever calls decides whether and when to ask again, so that a stop
is heard and nothing is sent twice in silence. It never uses Xet, whose own program opens
connections that the guard does not see.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import httpx2

from finetune_app.basemodels.catalogue import hub_address
from finetune_app.core.environment import hub_is_offline
from finetune_app.providers.guarded_httpx2 import GuardedTransport

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TIMEOUT = httpx2.Timeout(120.0, connect=10.0, write=600.0)
BUSY = {408, 425, 429, 500, 502, 503, 504}
CONFLICT = b"another conflicting operation is in progress"
MAX_WAIT_SECONDS = 300.0  # of what the hub may ask for


class HubBusy(Exception):
    """The hub does not answer, or not now. Asking again may help.

    status: None where no answer came. retry_after: seconds, if the hub said so.
    """

    def __init__(self, status: int | None, retry_after: float | None = None) -> None:
        super().__init__(f"status {status}")
        self.status, self.retry_after = status, retry_after


class HubOffline(Exception):
    """This installation is told to stay offline."""


class HubTransport(GuardedTransport):
    """Raises HubBusy instead of an answer that the client would try again on. before: called before
    each request, may raise what ends the work."""

    def __init__(self, *, private: bool, before: Callable[[], None]) -> None:
        super().__init__(allowed=())
        self.private, self.before = private, before

    def may_be_private(self, url: httpx.URL) -> bool:
        return self.private

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.before()
        try:
            response: httpx2.Response = super().handle_request(request)
        except httpx2.TransportError:
            raise HubBusy(None) from None
        if response.status_code in BUSY:
            wait = _seconds(response.headers.get("retry-after"))
            response.close()
            raise HubBusy(response.status_code, wait)
        is_creating = response.status_code == 409 and request.url.path == "/api/repos/create"
        if is_creating and CONFLICT in response.read():
            raise HubBusy(409)  # the client would ask again without end and without a pause
        return response


def hub_api(token: str, before: Callable[[], None] = lambda: None) -> "HfApi":
    """The official client for this account. Raises HubOffline. The client keeps its connections
    for the whole process, so a process works for one account at a time."""
    if hub_is_offline():
        raise HubOffline
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    from huggingface_hub import HfApi, constants, set_client_factory
    from huggingface_hub.utils.tqdm import disable_progress_bars

    constants.HF_HUB_DISABLE_XET = True  # where the library was imported before
    disable_progress_bars()
    set_client_factory(lambda: _client(before))
    return HfApi(endpoint=hub_address(), token=token, library_name="finetune")


def hub_may_be_private() -> bool:
    """Whether the hub may have a private address: whoever runs Finetune has named it."""
    return bool(os.environ.get("HF_ENDPOINT"))


def status_of(error: BaseException) -> int | None:
    """The status of a refusal by the hub; None for another error."""
    response: Any = getattr(error, "response", None)
    return response.status_code if isinstance(response, httpx2.Response) else None


def cause_of(error: BaseException, kind: type[BaseException]) -> Any:
    """The error of this kind that `error` came from, or None: the client wraps some."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, kind):
        found = found.__cause__ or found.__context__
    return found


def _client(before: Callable[[], None]) -> httpx2.Client:
    return httpx2.Client(
        transport=HubTransport(private=hub_may_be_private(), before=before),
        headers={"Accept-Encoding": "identity"},
        trust_env=False,
        follow_redirects=True,  # each one through the guard again, without the token elsewhere
        timeout=TIMEOUT,
    )


def _seconds(text: str | None) -> float | None:
    if not text or not text.isascii() or not text.isdigit() or len(text) > 6:
        return None
    return min(float(text), MAX_WAIT_SECONDS)

"""A session of `requests`, which Google's libraries use, on the guarded HTTP client."""

from collections.abc import Collection
from typing import Any

import httpx2
import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from finetune_app.providers.guarded_httpx2 import guarded_client

PIECE_BYTES = 1 << 16


class GuardedAdapter(BaseAdapter):
    def __init__(self, client: httpx2.Client) -> None:
        super().__init__()
        self.client = client

    def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
        """Raises requests' ConnectionError where there is no answer."""
        try:
            answer = self.client.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                content=_content(request.body),
            )
        except httpx2.HTTPError as problem:
            raise requests.ConnectionError(str(problem), request=request) from problem
        made = requests.Response()
        made.status_code, made.reason = answer.status_code, answer.reason_phrase
        made.headers = CaseInsensitiveDict(answer.headers)
        made.url, made.request = request.url, request
        made._content = answer.content
        return made

    def close(self) -> None:
        self.client.close()


def _content(body: Any) -> Any:
    """Bytes, a text, or pieces of what is read from a file."""
    if body is None or isinstance(body, bytes | str):
        return body
    return iter(lambda: body.read(PIECE_BYTES), b"")


def guard_session(session: requests.Session, allowed: Collection[str]) -> requests.Session:
    session.mount("https://", GuardedAdapter(guarded_client(allowed)))
    session.mount("http://", GuardedAdapter(guarded_client(allowed)))
    session.trust_env = False
    session.headers["Accept-Encoding"] = "identity"
    return session

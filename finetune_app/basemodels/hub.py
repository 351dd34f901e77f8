"""Questions that pages ask the model hub: whose a token is, and which models there are.

Short GET requests with a bounded answer, of which nothing is trusted: what has the wrong type is
left out. The address is set by whoever runs Finetune (HF_ENDPOINT), not by people.
Shapes: `whoami` and `list_models` of huggingface_hub 2.4.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from django.utils.translation import gettext as _

from finetune_app.basemodels.catalogue import hub_address
from finetune_app.core.environment import hub_is_offline
from finetune_app.core.errors import PlainError

TIMEOUT_SECONDS = 10.0  # of each read; people wait for the page
MAX_SECONDS = 20.0
MAX_ANSWER_BYTES = 4_000_000
MAX_ORGANISATIONS = 100
MAX_COUNT = 10**15


@dataclass(frozen=True)
class HubIdentity:
    """Whose a token is, and what it may do. `role`: read, write or fineGrained."""

    account: str
    organisations: list[str] = field(default_factory=list)
    role: str = ""


def whoami(token: str) -> HubIdentity:
    """Raises PlainError when the hub does not accept the token, or does not answer."""
    found = get_json("/api/whoami-v2", token=token)
    name = text(found, "name", 96) if isinstance(found, dict) else ""
    if not name:
        raise unreadable()
    orgs = found.get("orgs")
    named = [text(one, "name", 96) for one in orgs[:MAX_ORGANISATIONS]] if _is_list(orgs) else []
    role = text(_inner(_inner(found, "auth"), "accessToken"), "role", 24)
    return HubIdentity(name, [one for one in named if one], role)


def place_of_hub() -> str:
    """The hub's host, to name it on a page."""
    return httpx.URL(hub_address()).host


def get_json(
    path: str, *, token: str | None = None, params: Mapping[str, Any] | None = None
) -> Any:
    """The answer of the hub. Raises PlainError."""
    if hub_is_offline():
        raise PlainError(
            _("This installation is told to stay offline (HF_HUB_OFFLINE), so no hub is asked."),
            status=409,
        )
    headers = {"User-Agent": "finetune", "Accept-Encoding": "identity"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        with (
            httpx.Client(headers=headers, timeout=TIMEOUT_SECONDS) as client,
            client.stream("GET", f"{hub_address()}{path}", params=params) as answer,
        ):
            _raise_for_status(answer.status_code)
            return json.loads(_body(answer))
    except httpx.TransportError:
        raise PlainError(
            _("The hub does not answer. Try again when the network is back."), status=502
        ) from None
    except (ValueError, RecursionError):
        raise unreadable() from None


def unreadable() -> PlainError:
    return PlainError(
        _(
            "The hub answered something else than expected. Perhaps this network wants you to sign "
            "in first."
        ),
        status=502,
    )


def text(found: Any, name: str, most: int) -> str:
    """A short printable text of an answer, or ""."""
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, str) and len(value) <= most and value.isprintable() else ""


def count(found: Any, name: str) -> int:
    """A whole number of an answer that is not negative, or 0; so for one too large to be true."""
    value = found.get(name) if isinstance(found, dict) else None
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return value if 0 < value < MAX_COUNT else 0


def licence_of(found: Mapping[str, Any]) -> str:
    """The hub's identifier of a licence, or the name that the maker gave it; "" for none."""
    card = found.get("cardData")
    licence = text(card, "license", 80)
    if licence == "other":
        licence = text(card, "license_name", 80) or licence
    if licence:
        return licence
    tags = found.get("tags")
    every = tags if isinstance(tags, list) else []
    named = [tag for tag in every if isinstance(tag, str) and tag.isprintable()]
    start = "license:"
    return next((tag[len(start) :][:80] for tag in named if tag.startswith(start)), "")


def _body(answer: httpx.Response) -> bytes:
    """Raises ValueError where it is too long, comes too slowly, or is compressed."""
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise ValueError("the answer is compressed")
    found, until = bytearray(), time.monotonic() + MAX_SECONDS
    for block in answer.iter_bytes():
        found += block
        if len(found) > MAX_ANSWER_BYTES or time.monotonic() > until:
            raise ValueError("the answer is too long")
    return bytes(found)


def _raise_for_status(status: int) -> None:
    if status == 200:
        return
    if status in (401, 403):
        raise PlainError(
            _(
                "The hub does not accept this token. Copy it again from the hub, under Settings, "
                "Access Tokens; perhaps it has expired."
            ),
            status=422,
        )
    if status == 429:
        raise PlainError(
            _("The hub is asked too often just now. Try again in a minute."), status=503
        )
    raise PlainError(
        _("The hub answered with an error (%(status)d). Try again later.") % {"status": status},
        status=502,
    )


def _inner(found: Any, name: str) -> Any:
    return found.get(name) if isinstance(found, dict) else None


def _is_list(found: Any) -> bool:
    return isinstance(found, list)

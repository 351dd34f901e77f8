"""Responses of the Responses API that a program may read again, or go on from.

They are texts of requests: stored redacted where the deployment keeps texts, deleted with them.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune_app.api_keys.models import ApiKey
from finetune_app.request_log.models import Request, StoredResponse
from finetune_app.request_log.redaction import MAX_CHARACTERS
from finetune_app.request_log.redactor import redactor
from finetune_app.request_log.retention import MAX_TOTAL_CHARACTERS

MAX_CHAIN = 100  # responses that one conversation goes back
JsonObject = dict[str, object]
TEXT_KEYS = ("text", "arguments", "output", "instructions", "user")
JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|\[[a-z ]+\]')  # or what stands for something redacted


class ResponseGone(Exception):
    """A response that was never stored, or is not any more."""


@dataclass
class ResponseToStore:
    """`input`: items, as the API lists them. `has_failed`: it could not be stored."""

    response_id: str
    previous_id: str
    input: Sequence[JsonObject] = field(default_factory=list)
    response: JsonObject = field(default_factory=dict)
    has_failed: bool = False


def fits(items: Sequence[JsonObject], instructions: str | None) -> bool:
    """Whether these texts can be redacted whole: a longer one would be cut."""
    texts: list[str] = [instructions or ""]
    _each_text(list(items), texts.append)
    return max(map(len, texts)) <= MAX_CHARACTERS and sum(map(len, texts)) <= MAX_TOTAL_CHARACTERS


def store(request: Request, given: ResponseToStore) -> None:
    """Store it redacted. Where that is not possible `has_failed` is set."""
    assert request.deployment_id is not None
    content = {"input": list(given.input), "response": given.response}
    texts: list[str] = []
    _each_text(content, texts.append)
    if max(map(len, texts), default=0) > MAX_CHARACTERS:
        given.has_failed = True
        return
    redacted = iter(redactor.redact(texts))
    clean = _each_text(content, lambda _text: next(redacted).text)
    for item in [*clean["input"], *(clean["response"].get("output") or ())]:
        if "arguments" in item:
            item["arguments"] = _as_json(item["arguments"])
    StoredResponse.objects.create(
        request=request,
        deployment_id=request.deployment_id,
        response_id=given.response_id,
        previous_id=given.previous_id,
        input=clean["input"],
        response=clean["response"],
    )


def find(key: ApiKey, response_id: str) -> StoredResponse:
    """Raises ResponseGone if this key's team, or its deployment, has no such response."""
    found = StoredResponse.objects.filter(request__team=key.team_id, response_id=response_id[:80])
    if key.deployment_id:
        found = found.filter(deployment=key.deployment_id)
    response = found.first()
    if response is None:
        raise ResponseGone
    return response


def conversation(key: ApiKey, response_id: str) -> list[JsonObject]:
    """The input and output items up to this response, the oldest first.

    Raises ResponseGone if any part of it is not stored any more.
    """
    items: list[JsonObject] = []
    for _link in range(MAX_CHAIN):
        found = find(key, response_id)
        output: Any = found.response.get("output") or []
        items = [*found.input, *output, *items]
        response_id = found.previous_id
        if not response_id:
            return items
    raise ResponseGone


def _as_json(arguments: str) -> str:
    """Redacted arguments of a call, which have to be an object in the next turn: a number that was
    taken out becomes a text."""
    for text in (arguments, JSON_TEXT.sub(_quoted, arguments)):
        try:
            json.loads(text)
        except ValueError:
            continue
        return text
    return json.dumps({"redacted": arguments}, ensure_ascii=False)


def _quoted(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith('"') else f'"{found[0]}"'


def _each_text(value: Any, change: Callable[[str], Any], key: str = "") -> Any:
    """`value` with `change` applied to each text that a person or a model wrote, in a fixed order.

    Ids, types and names stay: a pattern for phone numbers would find some in them.
    """
    if isinstance(value, str):
        return change(value) if key in TEXT_KEYS or key == "metadata" else value
    if isinstance(value, list):
        return [_each_text(one, change, key if key == "metadata" else "") for one in value]
    if isinstance(value, dict):
        inner = "metadata" if key == "metadata" else ""
        return {name: _each_text(one, change, inner or name) for name, one in value.items()}
    return value

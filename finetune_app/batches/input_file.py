"""Reads the input file of a batch: a line of JSON for each request, after OpenAI's description."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

from django.conf import settings

from finetune_app.batches.models import BatchRequest
from finetune_app.core.storable_text import storable
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject

MAX_REQUESTS = 50_000
MAX_ERRORS = 100  # told of one file
MAX_ID_CHARACTERS = 512
FIELDS = ("custom_id", "method", "url", "body")


class LineError(TypedDict):
    """What is wrong with a line of the file; None: with the whole file."""

    code: str
    message: str
    param: str | None
    line: int | None


class InvalidFile(Exception):
    """The file cannot be a batch."""

    def __init__(self, errors: list[LineError]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors


class InvalidLine(Exception):
    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.param = code, param


def read_requests(path: Path, url: str) -> tuple[list[BatchRequest], str]:
    """(the requests of the file, without their batch; the model that all of them ask).

    url: of the batch. Raises InvalidFile, with the first MAX_ERRORS errors.
    """
    requests: list[BatchRequest] = []
    errors: list[LineError] = []
    lines_by_id: dict[str, int] = {}
    model = ""
    for number, offset, line in _lines(path):
        try:
            if len(requests) >= MAX_REQUESTS:
                raise InvalidLine("too_many_requests", _too_many())
            given = _read(line)
            custom_id, asked = _checked(given, url)
            if custom_id in lines_by_id:
                raise InvalidLine(
                    "duplicate_custom_id",
                    f"Line {lines_by_id[custom_id]} has the same “custom_id”. Give each its own.",
                    "custom_id",
                )
            if model and asked != model:
                raise InvalidLine(
                    "mismatched_model",
                    f"It asks “{asked[:80]}”, and the first line “{model[:80]}”. Make a batch for "
                    "each model.",
                    "body.model",
                )
        except InvalidLine as problem:
            errors.append(_error(problem, number))
            if len(errors) >= MAX_ERRORS or problem.code == "too_many_requests":
                break
            continue
        model = asked
        lines_by_id[custom_id] = number
        requests.append(
            BatchRequest(line=number, custom_id=custom_id, offset=offset, length=len(line))
        )
    if not requests and not errors:
        raise invalid_file("empty_file", "The file has no requests.")
    if errors:
        raise InvalidFile(errors)
    return requests, model


def invalid_file(code: str, message: str, param: str | None = None) -> InvalidFile:
    """With one error, about the whole file."""
    return InvalidFile([{"code": code, "message": message, "param": param, "line": None}])


def invalid_model(problem: ApiError) -> InvalidFile:
    return invalid_file(problem.code or "model_not_found", problem.message, "body.model")


def request_body(path: Path, request: BatchRequest) -> bytes:
    """The JSON body that this request sends. Raises OSError if the file is gone."""
    with path.open("rb") as file:
        file.seek(request.offset)
        line = file.read(request.length)
    return json.dumps(_read(line)["body"]).encode()


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(number, offset, line) of the lines that are not blank. A longer line than a request may be
    is cut, and is invalid then."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1
    with path.open("rb") as file:
        number = offset = 0
        while line := file.readline(limit):
            number += 1
            if line.strip():
                yield number, offset, line
            if len(line) == limit:  # go to its end
                while (rest := file.readline(limit)) and not rest.endswith(b"\n"):
                    pass
            offset = file.tell()


def _read(line: bytes) -> JsonObject:
    """Raises InvalidLine."""
    if len(line) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024**2
        raise InvalidLine("line_too_long", f"It is longer than the {most} MB of a request.")
    try:
        given = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise InvalidLine("invalid_json_line", "It is not valid JSON in UTF-8.") from None
    if not isinstance(given, dict):
        raise InvalidLine("invalid_json_line", "It is not a JSON object.")
    return given


def _checked(given: JsonObject, url: str) -> tuple[str, str]:
    """(custom_id, model). Raises InvalidLine."""
    unknown = next((name for name in given if name not in FIELDS), None)
    if unknown is not None:
        raise InvalidLine(
            "unknown_parameter",
            f"“{unknown[:80]}” is no field of a line; those are {', '.join(FIELDS)}.",
            unknown[:80],
        )
    custom_id, body = given.get("custom_id"), given.get("body")
    if not isinstance(custom_id, str) or not custom_id:
        raise InvalidLine("missing_required_parameter", "It has no “custom_id”.", "custom_id")
    if len(custom_id) > MAX_ID_CHARACTERS or storable(custom_id) != custom_id:
        raise InvalidLine(
            "invalid_custom_id",
            f"Its “custom_id” is longer than {MAX_ID_CHARACTERS} characters, or has some that "
            "cannot be stored.",
            "custom_id",
        )
    if given.get("method") != "POST":
        raise InvalidLine("invalid_method", "Its “method” is not POST.", "method")
    if given.get("url") != url:
        raise InvalidLine("mismatched_url", f"Its “url” is not the batch's, {url}.", "url")
    if not isinstance(body, dict):
        raise InvalidLine("missing_required_parameter", "It has no “body”, an object.", "body")
    model: Any = body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidLine("missing_required_parameter", "Its body has no “model”.", "body.model")
    return custom_id, model


def _error(problem: InvalidLine, line: int) -> LineError:
    return {
        "code": problem.code,
        "message": f"Line {line:,}: {problem}",
        "param": problem.param,
        "line": line,
    }


def _too_many() -> str:
    return f"The file has more than {MAX_REQUESTS:,} requests. Split it into several batches."

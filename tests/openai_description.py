"""Holds the responses of the API against OpenAI's own description of them.

`tests/security/openai_api.json` is that description, cut to what Finetune serves. Four things in
it are corrected: `paused` is a status of a job, as the routes to pause and resume one imply;
`exclusiveMinimum` is a number, as OpenAPI 3.1 wants it; the graders of a multi grader may stand
by their names, as in OpenAI's guide; and a vector may be base64, which its client asks for.
"""

import json
import re
from pathlib import Path

import httpx
from jsonschema import Draft202012Validator

FILE = Path(__file__).parent / "security" / "openai_api.json"
DESCRIPTION = json.loads(FILE.read_text())


def check_response(response: httpx.Response) -> None:
    """An event hook of httpx. Raises AssertionError if OpenAI's description does not have such a
    response to this method and address."""
    if response.headers["content-type"] != "application/json":
        return  # a stream, or a file
    response.read()
    if not _has_schema(response):
        return  # OpenAI describes no body of it
    problems = Draft202012Validator(_schema_for(response)).iter_errors(response.json())
    found = [f"{one.json_path}: {one.message}" for one in problems]
    assert not found, f"{response.request.method} {response.request.url.path}: {found}"


def _has_schema(response: httpx.Response) -> bool:
    if response.status_code >= 400:
        return True  # the same for all, also where the address is unknown
    return "content" in _operation(response.request)["responses"].get("200", {})


def _schema_for(response: httpx.Response) -> dict:
    if response.status_code >= 400:
        schema = {"$ref": "#/components/schemas/ErrorResponse"}
    else:
        responses = _operation(response.request)["responses"]
        schema = responses["200"]["content"]["application/json"]["schema"]
    return {**schema, "components": DESCRIPTION["components"]}


def _operation(request: httpx.Request) -> dict:
    path = request.url.path.removeprefix("/v1")
    for pattern, item in DESCRIPTION["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path):
            return item[request.method.lower()]
    raise AssertionError(f"{path} is not in {FILE.name}")

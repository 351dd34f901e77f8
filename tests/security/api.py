"""Helpers for attacks on the API: requests, each endpoint's fields, checks of every answer."""

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx

Ask = Callable[..., httpx.Response]
CHAT = "/chat/completions"
HELLO = {"model": "shop-mail", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
LEAKS = ("Traceback", 'File "', "/work/", "site-packages", "django", "sqlite", "psycopg", "SELECT")
CHAT_FIELDS = [
    "model",
    "messages",
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "n",
    "seed",
    "stream_options",
    "logprobs",
    "tools",
    "tool_choice",
    "response_format",
    "user",
    "presence_penalty",
    "frequency_penalty",
    "metadata",
    "logit_bias",
    "top_logprobs",
]
JOB_FIELDS = [
    "model",
    "training_file",
    "validation_file",
    "suffix",
    "seed",
    "method",
    "hyperparameters",
    "metadata",
    "integrations",
]
GRADER = {
    "type": "string_check",
    "name": "same",
    "input": "{{ sample.output_text }}",
    "reference": "Hi",
    "operation": "eq",
}
OTHERS = {
    "/fine_tuning/alpha/graders/run": (
        {"grader": GRADER, "model_sample": "Hi"},
        ["grader", "model_sample", "item"],
    ),
    "/fine_tuning/alpha/graders/validate": ({"grader": GRADER}, ["grader"]),
    "/fine_tuning/jobs": ({"model": "starter", "training_file": "file-0"}, JOB_FIELDS),
    "/completions": (
        {"model": "starter", "prompt": "Hi", "max_tokens": 1},
        [*CHAT_FIELDS, "prompt", "suffix", "echo", "best_of"],
    ),
    "/embeddings": (
        {"model": "starter", "input": "Hi"},
        ["model", "input", "encoding_format", "dimensions", "user"],
    ),
    "/feedback": (
        {"id": "chatcmpl-0", "rating": "up"},
        ["id", "completion_id", "rating", "comment", "expected"],
    ),
}


def checked(reply: httpx.Response) -> httpx.Response:
    """Asserts what holds for every answer: no internal error, OpenAI's error format, no leak."""
    assert reply.status_code < 500 or reply.status_code == 503, reply.text
    if reply.status_code >= 400 and reply.request.method != "HEAD":
        error = reply.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert not any(leak in reply.text for leak in LEAKS), reply.text
    return reply


def raw_response(address: str, lines: list[str]) -> bytes:
    """The first bytes of the response to exactly these lines."""
    with _sent(address, lines) as line:
        return line.recv(65_536)


def everything_answered(address: str, lines: list[str]) -> bytes:
    """All that comes until the server closes the connection."""
    with _sent(address, lines) as line:
        return b"".join(iter(lambda: line.recv(65_536), b""))


def _sent(address: str, lines: list[str]) -> socket.socket:
    place = urlsplit(address)
    line = socket.create_connection((place.hostname, place.port), timeout=60)
    line.sendall("\r\n".join([*lines, "", ""]).encode())
    return line

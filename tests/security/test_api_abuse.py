"""The API under abuse: the right status and OpenAI's form of error, nothing leaked and no fault
of ours. Where everything is in order the engine would be asked; it is away here, which is a 503.
"""

import contextlib
import gzip
import json
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ApiKey
from finetune_app.deployment.models import Deployment, Request
from finetune_app.fine_tuning_api.models import ApiFile
from finetune_app.gateway import schemas
from finetune_app.gateway.errors import ApiError
from finetune_app.goals.models import Goal
from tests.journey import install
from tests.security.conftest import Served

Ask = Callable[..., httpx.Response]
CHAT = "/chat/completions"
HELLO = {"model": "shop-mail", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
LEAKS = ("Traceback", 'File "', "/work/", "site-packages", "django", "sqlite", "psycopg", "SELECT")


@pytest.fixture(scope="module")
def ask(served) -> Iterator[Ask]:
    """ask(method, path, **) as a program with a good key; every answer is looked over."""
    _key, good = served.key()
    with httpx.Client(timeout=120) as http:

        def send(method: str, path: str, text: str = good, **given) -> httpx.Response:
            headers = {"Authorization": f"Bearer {text}"} | given.pop("headers", {})
            return sound(http.request(method, served.address + path, headers=headers, **given))

        yield send


def sound(reply: httpx.Response) -> httpx.Response:
    """Whatever was asked: no fault of ours, errors as OpenAI's clients read them, no leak."""
    assert reply.status_code < 500 or reply.status_code == 503, reply.text
    if reply.status_code >= 400 and reply.request.method != "HEAD":
        error = reply.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert not any(leak in reply.text for leak in LEAKS), reply.text
    return reply


def raw(served: Served, lines: list[str]) -> bytes:
    """The first bytes of the answer to exactly these lines."""
    place = urlsplit(served.address)
    with socket.create_connection((place.hostname, place.port), timeout=60) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        return line.recv(65_536)


# ---- Keys ----


@pytest.mark.django_db  # also what makes pytest-django set the database up, for the whole file
def test_without_a_key_there_is_nothing_to_see(client):
    for path in ("models", "files", "fine_tuning/jobs", "nothing", "models/shop-mail"):
        assert client.get(f"/v1/{path}").status_code == 401, path


def test_a_stranger_s_key_finds_nothing_of_ours(ask, served):
    """IDOR in the API: every id of one team, asked for with the key of another."""
    form = {"files": {"file": ("x.jsonl", b"{}\n")}, "data": {"purpose": "fine-tune"}}
    file = ask("POST", "/files", **form).json()["id"]
    wanted = {"model": "starter", "training_file": file}
    job = ask("POST", "/fine_tuning/jobs", json=wanted).json()["id"]
    _key, text = served.key(theirs=True)
    Deployment.objects.filter(team=served.theirs.team).update(name="theirs")
    for method, path in [
        ("GET", "/models/shop-mail"),
        ("GET", f"/files/{file}"),
        ("DELETE", f"/files/{file}"),
        ("GET", f"/files/{file}/content"),
        ("GET", f"/fine_tuning/jobs/{job}"),
        ("GET", f"/fine_tuning/jobs/{job}/events"),
        ("POST", f"/fine_tuning/jobs/{job}/cancel"),
        ("GET", f"/fine_tuning/jobs/{job}/checkpoints"),
    ]:
        assert ask(method, path, text).status_code == 404, path
    assert ask("POST", CHAT, text, json=HELLO).status_code == 404
    assert ask("POST", "/fine_tuning/jobs", text, json=wanted).status_code == 404
    for path in ("/files", "/fine_tuning/jobs"):
        assert ask("GET", path, text).json()["data"] == []
    assert ask("GET", f"/files/{file}").status_code == 200


def test_a_stranger_judges_no_answer_of_ours(ask, served):
    """IDOR by the id of an answer, which programs write into their own logs."""
    Request.objects.filter(team=served.ours.team, status=200).update(reply_id="chatcmpl-ours")
    judged = {"id": "chatcmpl-ours", "rating": "down", "comment": "Bad."}
    _key, stranger = served.key(theirs=True)
    _key, narrow = served.key(deployment=served.theirs.goal.deployment)
    for text in (stranger, narrow):
        assert ask("POST", "/feedback", text, json=judged).status_code == 404
    assert ask("POST", "/feedback", json=judged).status_code == 200


def test_a_team_s_own_base_model_is_nobody_else_s(ask, served):
    """A base model that is not re-authorised behind a name (Open WebUI 2026-44555)."""
    secret = install("their-secret", team=served.theirs.team).slug
    assert ask("POST", CHAT, json=HELLO | {"model": secret}).status_code == 404
    assert secret not in ask("GET", "/models").text
    form = {"files": {"file": ("x.jsonl", b"{}\n")}, "data": {"purpose": "fine-tune"}}
    file = ask("POST", "/files", **form).json()["id"]
    wanted = {"model": secret, "training_file": file}
    assert ask("POST", "/fine_tuning/jobs", json=wanted).status_code == 400
    assert not Goal.objects.filter(base_choice__base_model__slug=secret).exists()


def test_a_key_of_one_deployment_opens_no_other(ask, served):
    team = served.ours.team
    goal = Goal.objects.create(team=team, name="Other", description="Other.")
    other = Deployment.objects.create(team=team, goal=goal, name="other-mail")
    _key, text = served.key(deployment=other)
    for name in ("shop-mail", "starter"):
        assert ask("POST", CHAT, text, json=HELLO | {"model": name}).status_code == 404
        assert ask("GET", f"/models/{name}", text).status_code == 404
        asked = {"model": name, "prompt": "Hi"}
        assert ask("POST", "/completions", text, json=asked).status_code == 404
    assert [one["id"] for one in ask("GET", "/models", text).json()["data"]] == ["other-mail"]
    for path in ("/files", "/fine_tuning/jobs", "/files/file-0", "/fine_tuning/jobs/ftjob-0"):
        assert ask("GET", path, text).status_code == 403


def test_a_revoked_and_an_expired_key_read_alike(ask, served):
    """And like one that never was, so that nobody learns which prefixes exist."""
    old, expired = served.key(days=1)
    ApiKey.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    gone, revoked = served.key()
    api_keys.revoke_key(key=gone)
    unknown = f"ft-{old.prefix}-{'x' * 43}"
    said = [ask("POST", CHAT, text, json=HELLO) for text in (expired, revoked, unknown, "ft-0-0")]
    assert {reply.status_code for reply in said} == {401}
    assert len({reply.text for reply in said}) == 1


def test_a_key_shown_in_another_way_opens_nothing(served):
    _key, text = served.key()
    for headers in (
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {text}"},
        {"X-Api-Key": text},
        {"Cookie": f"key={text}"},
        {"Authorization": f"Bearer {text} {text}"},
        {"Authorization": "Bearer ft-\xff\xff-\xe9"},
        {"Authorization": "Bearer " + "x" * 7000},
    ):
        sent = {name: value.encode("latin-1") for name, value in headers.items()}
        reply = sound(httpx.get(f"{served.address}/models?api_key={text}", headers=sent))
        assert reply.status_code == 401, headers


# ---- Bodies ----

FIELDS = [
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
OTHERS = {
    "/fine_tuning/jobs": ({"model": "starter", "training_file": "file-0"}, JOB_FIELDS),
    "/completions": (
        {"model": "starter", "prompt": "Hi", "max_tokens": 1},
        [*FIELDS, "prompt", "suffix", "echo", "best_of"],
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

WRONG = {
    "nothing": b"",
    "no JSON": b"hello",
    "half": b'{"model": "x"',
    "a list": b"[1]",
    "a text": b'"x"',
    "invalid UTF-8": b'{"model": "\xff\xfe"}',
    "UTF-16": '{"a"'.encode("utf-16"),
    "brackets without end": b"[" * 1_000_000,
    "braces": b'{"a":' * 200_000,
    "a number without end": b'{"n": ' + b"9" * 100_000 + b"}",
    "packed": gzip.compress(b"{}"),
}


@pytest.mark.parametrize("path", [CHAT, *OTHERS])
def test_a_body_that_cannot_be_read_is_a_400(ask, path):
    """Broken JSON, and JSON made to take for ever (CVE-2025-29770 and its kind)."""
    for what, body in WRONG.items():
        assert ask("POST", path, content=body).status_code == 400, what


def test_ten_thousand_messages_are_too_many(ask):
    many = {"messages": HELLO["messages"] * 10_000}
    assert ask("POST", CHAT, json=HELLO | many).status_code == 400


@pytest.mark.parametrize("told", [True, False])
def test_a_huge_body_is_refused_with_and_without_its_length(ask, told):
    """A body in chunks tells no length; it must not end in this machine's memory."""
    body = b'{"model": "' + b"x" * 14_000_000 + b'"}'
    pieces = (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    try:
        reply = ask("POST", CHAT, content=body if told else pieces)
    except httpx.TransportError:  # it was still sending when the line was closed
        return
    assert reply.status_code == 413


def test_a_file_sent_in_no_proper_form_is_a_400(ask):
    before, part = ApiFile.objects.count(), b"--b\r\nContent-Disposition: form-data; name=file\r\n"
    for kind, content in (
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=" + "b" * 300, b"x"),
        ("multipart/form-data; boundary=b", part),
        ("application/json", b"{}"),
        ("text/html", b"<svg>"),
        ("", b"\x00"),
    ):
        reply = ask("POST", "/files", headers={"Content-Type": kind}, content=content)
        assert reply.status_code == 400, kind
    assert ApiFile.objects.count() == before


def test_a_form_of_ten_thousand_files_or_fields_is_a_400(ask):
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n'
    field = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nx\r\n'
    for form in (part * 10_000, field * 10_000):
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        assert ask("POST", "/files", headers=headers, content=form + b"--b--").status_code == 400


def test_a_team_has_so_much_room_for_files(ask, monkeypatch):
    ApiFile.objects.all().delete()
    monkeypatch.setattr("finetune_app.fine_tuning_api.services.MAX_TEAM_BYTES", 100)
    form = {"files": {"file": ("a.jsonl", b"x" * 60)}, "data": {"purpose": "fine-tune"}}
    assert ask("POST", "/files", **form).status_code == 200
    refused = ask("POST", "/files", **form)
    assert refused.status_code == 413
    assert "Delete some" in refused.json()["error"]["message"]


# ---- Fields ----

VALUES = (
    some.none()
    | some.booleans()
    | some.integers(-(2**80), 2**80)
    | some.floats()
    | some.text(max_size=20)
    | some.sampled_from(["\x00", "\ud800", "A\r\nB: c", "../x", "auto"])
)
JSON = some.recursive(
    VALUES,
    lambda inner: (
        some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
QUICKLY = settings(
    max_examples=30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(changed=some.dictionaries(some.sampled_from(FIELDS), JSON, min_size=1, max_size=3))
@QUICKLY
def test_any_type_in_any_field_of_a_chat_is_answered_or_refused(ask, changed):
    body = json.dumps(HELLO | changed).encode()
    assert ask("POST", CHAT, content=body).status_code in (503, 400, 404)


@pytest.mark.parametrize("path", OTHERS)
@given(data=some.data())
@QUICKLY
def test_any_type_in_any_field_of_the_others_is_answered_or_refused(ask, path, data):
    usual, names = OTHERS[path]
    changes = some.dictionaries(some.sampled_from(names), JSON, min_size=1, max_size=3)
    body = json.dumps(usual | data.draw(changes)).encode()
    assert ask("POST", path, content=body).status_code in (200, 503, 400, 404)


@given(message=some.dictionaries(some.sampled_from(["role", "content", "name", "x"]), JSON))
@QUICKLY
def test_any_message_is_read_or_refused(message):
    body = json.dumps(HELLO | {"messages": [message, *HELLO["messages"]]}).encode()
    with contextlib.suppress(ApiError):
        for one in schemas.parse_chat_request(body).messages:
            assert one["role"] in ("system", "user", "assistant")
            assert one["content"].encode() is not None


def test_of_a_name_that_comes_twice_the_last_one_counts_for_everything(ask):
    """Not the first for the permission and the last for the work."""
    body = json.dumps(HELLO)[:-1] + ', "model": "gpt-4o"}'
    assert ask("POST", CHAT, content=body).status_code == 404


def test_numbers_that_are_none_are_refused(ask):
    for word in ("NaN", "Infinity", "-Infinity", "1e400"):
        body = json.dumps(HELLO)[:-1] + f', "temperature": {word}}}'
        assert ask("POST", CHAT, content=body).status_code == 400, word


def test_odd_pages_of_a_list_are_the_first(ask):
    for limit in ("²", "-1", "0", "9" * 5000, "x", "1e3", "\x00"):
        for path in ("/fine_tuning/jobs", "/files"):
            reply = ask("GET", path, params={"limit": limit, "after": limit})
            assert reply.status_code == 200, limit


# ---- Addresses, methods, headers ----


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", CHAT, 405),
        ("HEAD", "/models", 405),
        ("OPTIONS", CHAT, 405),
        ("TRACE", CHAT, 405),
        ("PROPFIND", "/models", 405),
        ("PATCH", "/files", 405),
        ("GET", "/nothing", 404),
        ("GET", "/%00", 404),
        ("GET", "/models/%00%ff", 404),
        ("GET", "/files/..%2f..%2fx", 404),
        ("GET", "/x%0ay", 404),
        ("GET", "/", 404),
        ("POST", "/load_lora_adapter", 404),
        ("POST", "/unload", 404),
        ("POST", "/embed", 404),
        ("GET", "/health", 404),
    ],
)
def test_what_is_not_served_is_said_in_json(ask, method, path, status):
    """The engine's own routes (vLLM's load_lora_adapter, unload, health) are not among them."""
    reply = ask(method, path)
    assert reply.status_code == status
    if status == 405:
        assert reply.headers["Allow"]
    assert "access-control-allow-origin" not in reply.headers  # no page of another site asks


def test_a_line_end_in_a_name_makes_no_header(ask):
    """Header injection through what is sent back."""
    evil = "x\r\nSet-Cookie: evil=1\r\n\r\n<svg>"
    for reply in (
        ask("POST", CHAT, json=HELLO | {"model": evil}),
        ask("GET", "/models/x%0d%0aSet-Cookie:%20evil=1"),
        ask("POST", "/files", files={"file": (evil, b"{}")}, data={"purpose": "fine-tune"}),
        ask("GET", "/models", headers={"X-Request-Id": "mine", "X-Forwarded-Host": "evil.example"}),
    ):
        assert "set-cookie" not in reply.headers
        assert reply.headers["content-type"].startswith("application/json")
        assert "evil.example" not in str(reply.headers)
        assert reply.headers["x-request-id"] != "mine"


def test_a_host_that_is_not_ours_is_not_answered(served):
    """DNS rebinding: a page of evil.example whose name has become 127.0.0.1 (CVE-2025-62593)."""
    _key, text = served.key()
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1@evil.example", "[::1", ""):
        lines = ["GET /v1/models HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {text}"]
        assert raw(served, lines).startswith(b"HTTP/1.1 400"), host


def test_two_lengths_or_a_length_and_chunks_are_not_guessed_at(served):
    """Request smuggling behind a proxy that believes the other one."""
    _key, text = served.key()
    for lengths in (
        ["Content-Length: 4", "Content-Length: 40"],
        ["Content-Length: +4"],
        ["Content-Length: 4", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: xchunked"],
    ):
        head = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Connection: close"]
        lines = [*head, f"Authorization: Bearer {text}", *lengths, "", "0", ""]
        reply = raw(served, [*lines, "GET /v1/smuggled HTTP/1.1", "Host: localhost"])
        assert reply.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), lengths
        assert b"smuggled" not in reply

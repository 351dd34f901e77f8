"""Any type in any field of a request: it is answered or refused, and never an internal error."""

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from finetune_app.gateway import schemas
from finetune_app.gateway.errors import ApiError
from tests.security.api import CHAT, CHAT_FIELDS, HELLO, OTHERS

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


@given(changed=some.dictionaries(some.sampled_from(CHAT_FIELDS), JSON, min_size=1, max_size=3))
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


@pytest.mark.django_db  # so that pytest-django sets up the database for this file
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


def test_odd_pages_of_a_list_are_refused(ask):
    for odd in ("²", "-1", "0", "9" * 5000, "x", "1e3", "\x00"):
        for path in ("/fine_tuning/jobs", "/files"):
            for name in ("limit", "after"):
                reply = ask("GET", path, params={name: odd})
                assert reply.status_code in (400, 404), (name, odd)
                assert reply.json()["error"]["param"] == name

"""Request bodies under attack: broken JSON, huge bodies, odd forms. None is an internal error."""

import gzip

import httpx
import pytest
from django.test import Client

from finetune_app.accounts.models import User
from finetune_app.fine_tuning_api.models import ApiFile
from tests.security.api import CHAT, HELLO, OTHERS

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


@pytest.mark.django_db  # so that pytest-django sets up the database for this file
def test_a_body_is_not_read_without_a_key(client):
    reply = client.post(f"/v1{CHAT}", b"no JSON", content_type="application/json")
    assert reply.status_code == 401


def test_a_large_file_is_taken_from_known_senders_only(site, ask):
    """It is stored on disk before any view runs."""
    large = {"file": ("rows.jsonl", b"not JSON\n" * 500_000)}
    form = {"purpose": "fine-tune"}
    assert ask("POST", "/files", files=large, data=form).status_code == 200
    _key, text = site.key()
    other_case = {"Authorization": f"bearer  {text}"}
    assert ask("POST", "/files", files=large, data=form, headers=other_case).status_code == 200
    web = site.address.removesuffix("/v1")
    for headers in ({}, {"Authorization": "Bearer ft-wrong"}, {"Cookie": "sessionid=wrong"}):
        for path in ("/v1/files", "/sign-in/"):
            reply = httpx.post(web + path, files=large, data=form, headers=headers)
            assert reply.status_code == 401, (path, headers)
            assert "needs a sign-in or a valid API key" in reply.text
    cookie = {"Cookie": f"sessionid={signed_in(site.ours.goal.created_by)}"}
    reply = httpx.post(web + "/sign-in/", files=large, data=form, headers=cookie)
    assert reply.status_code == 403  # by Django, for want of a CSRF token


def signed_in(user: User) -> str:
    """The session key of a browser in which the user is signed in."""
    browser = Client()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return browser.cookies["sessionid"].value

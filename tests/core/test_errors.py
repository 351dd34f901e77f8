"""PlainErrors become pages; the page of an internal error has the request's id."""

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import reverse

from finetune_app.core import logs
from finetune_app.core.errors import PlainError
from finetune_app.core.middleware import PlainErrorMiddleware
from finetune_app.core.requests import whole_number


def test_a_plain_error_is_a_page_that_says_what_to_do(as_editor, goal):
    reply = as_editor.post(reverse("training:start", args=[goal.pk]))
    page = reply.content.decode()
    assert reply.status_code == 400
    assert "Nothing to learn from yet" in page
    assert "Freeze a version of the dataset first" in page
    assert "Traceback" not in page


def test_an_error_without_a_title_gets_a_default():
    error = PlainError("The disk is full. Free some space.")
    assert (error.title, error.status) == ("That did not work", 400)


def test_error_messages_are_escaped(db):
    request = RequestFactory().get("/")
    request.user = None
    middleware = PlainErrorMiddleware(lambda _request: HttpResponse())
    reply = middleware.process_exception(request, PlainError("<script>alert(1)</script>"))
    assert b"<script>alert" not in reply.content


def test_other_exceptions_are_not_caught():
    middleware = PlainErrorMiddleware(lambda _request: HttpResponse())
    assert middleware.process_exception(RequestFactory().get("/"), ValueError("ours")) is None


def test_the_500_page_shows_the_request_id(client, owner, monkeypatch):
    monkeypatch.setattr(
        "finetune_app.guide.services.sample_minutes",
        lambda: 1 / 0,  # any exception
    )
    client.raise_request_exception = False
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    with logs.context(request="follow-me", job=None):
        reply = client.get("/")
    assert reply.status_code == 500
    assert "follow-me" in reply.content.decode()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("7", 7),
        ("007", 7),
        ("", None),
        (None, None),
        ("-1", None),
        ("²", None),
        ("1e3", None),
        ("9" * 16, None),
        ("٣", 3),
    ],
)
def test_numbers_in_addresses_are_read_with_care(written, read):
    assert whole_number(written) == read


def test_nul_in_a_parameter_is_a_client_error(as_editor, goal):
    searched = as_editor.get(reverse("datasets:page", args=[goal.pk]), {"q": "a\x00b"})
    chosen = as_editor.post(reverse("basemodels:choose", args=[goal.pk]), {"base": "tiny\x00"})
    assert searched.status_code in {200, 400}
    assert chosen.status_code == 400

"""Weaknesses that any page could have, tried on all of them. The addresses are walked and the
models are read, so that what somebody adds tomorrow is tried as well."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from django.apps import apps
from django.conf import settings
from django.db import IntegrityError, connection, models, transaction
from django.http import HttpResponse
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.role_clients import role_clients_fixture  # noqa: F401
from tests.routes import DECLARED, Route, ids_of

pytestmark = pytest.mark.django_db
PAGES = [route for route in DECLARED if route.policy and route.policy.scope != "key"]
OPENED = [route for route in PAGES if "GET" in route.policy.methods]
PRESSED = [route for route in PAGES if set(route.policy.methods) - {"GET"}]

HOSTILE = "\"'></title><svg onload=alert(1)><a href=javascript:alert(2)>{{ 7777*7 }}{% x %}"
# Texts that only Finetune writes, and reads again: paths, hashes, names of its own things.
MACHINE = {
    "password",
    "email",
    "secret_hash",
    "code_hash",
    "prompt_hash",
    "stored_name",
    "stored_in",
    "sha256",
    "folder",
    "secret",
    "slug",
    "url",
    "link",
    "digest",
    "prefix",
    "ending",
    "adapter_sha256",
    "recipe",
    "question",
    "fingerprint",
    "check_name",
    "fix",
    "storage_path",
    "purpose",
    "number_format",
    "child",
    "worker",
    "embedder",
    "key",
    "group",
    "revision",
    "architecture",
    "training_file",
    "validation_file",
    "numbers",
    "left_was",
    "how",
    "unit",
    "measure",
}


# Kept by looking: sessions, the list of them, hours added up, lines of the audit log.
BOOKS = (
    "django_session",
    "usersessions_usersession",
    '"deployment_hour',
    "audit_auditentry",
    '"preferences_answerpair" SET "held_by_id"',  # who looks at it now, for some minutes
)


class Visit:
    """One page, opened by the owner of a team that writes markup wherever it can."""

    def __init__(self, route: Route, response: HttpResponse, asked: list[str]) -> None:
        self.route, self.response = route, response
        self.wrote = [sql for sql in asked if re.match(r"(?i)\s*(insert|update|delete)", sql)]
        content = b"".join(response) if response.streaming else response.content
        html = response.get("Content-Type", "").startswith("text/html")
        self.page = content.decode(errors="replace") if html else ""


@pytest.fixture(scope="module")
def visits(role_clients, django_db_blocker) -> list[Visit]:
    """Every address, opened once, after everything in the database was defaced."""
    client = Client(raise_request_exception=False)
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    storages = settings.STORAGES | {"staticfiles": plain}
    with django_db_blocker.unblock(), transaction.atomic(), override_settings(STORAGES=storages):
        client.cookies = role_clients.people[-1].client.cookies.copy()
        deface()
        found = [visit(client, route, role_clients) for route in OPENED]
        transaction.set_rollback(True)
    return found


def deface() -> None:
    """Markup in every text that a person, a file, a model or a program may have written."""
    for model in apps.get_models():
        if not model.__module__.startswith("finetune_app"):
            continue
        fields = [f for f in model._meta.concrete_fields if holds_words(f)]
        for row in model._default_manager.all() if fields else ():
            for field in fields:
                text = f"{row.pk} {HOSTILE}"[: field.max_length or 1000]
                set_quietly(row, **{field.name: text})
    said = [{"role": "user", "content": HOSTILE}, {"role": "assistant", "content": HOSTILE}]
    apps.get_model("datasets.Example").objects.update(messages=said)
    pairs = [{"prompt": HOSTILE, "answer": HOSTILE}]
    apps.get_model("goals.Goal").objects.update(pairs=pairs)
    apps.get_model("candidates.Candidate").objects.update(shots=pairs)


def holds_words(field: models.Field) -> bool:
    words = isinstance(field, models.CharField | models.TextField)
    special = isinstance(field, models.SlugField | models.EmailField | models.URLField)
    return words and not special and not field.choices and field.name not in MACHINE


def set_quietly(row: models.Model, **values: str) -> None:
    try:
        with transaction.atomic():
            type(row)._default_manager.filter(pk=row.pk).update(**values)
    except IntegrityError:
        pass  # a name that only one may have


def visit(client: Client, route: Route, role_clients) -> Visit:
    with CaptureQueriesContext(connection) as asked:
        place = transaction.savepoint()
        response = client.get(reverse(route.name, kwargs=ids_of(route, role_clients.world)))
        seen = Visit(route, response, [query["sql"] for query in asked])
        transaction.savepoint_rollback(place)
    return seen


# ---- Markup that people bring (CVE-2023-47115, 2024-26152, 2025-25296, 2025-47783, 2026-22033) --


class Markup(HTMLParser):
    """Collects what a browser would run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name.startswith(("on", "hx-on")):
                self.found.append(f"<{tag} {name}>")
            if re.match(r"\s*(javascript:|vbscript:|data:text)", value or "", re.IGNORECASE):
                self.found.append(f"<{tag} {name}={value!r}>")


def test_what_people_write_is_text_on_every_page(visits):
    """Stored XSS and template injection, through every name, text and file name there is."""
    became = {
        str(seen.route): Markup(seen.page).found or "…"
        for seen in visits
        if Markup(seen.page).found or "<svg onload" in seen.page or str(7777 * 7) in seen.page
    }
    assert became == {}


def test_the_markup_really_was_on_the_pages(visits):
    """So that the test above cannot pass because nothing was shown."""
    showing = [seen.route for seen in visits if "&lt;svg onload" in seen.page]
    whole = [seen for seen in visits if seen.page and seen.response.status_code == 200]
    assert len(showing) >= 0.8 * len(whole) > 20


# ---- Forgery (CSRF) ----


def test_opening_an_address_changes_nothing(visits):
    """Cross-site request forgery by a picture or a link, which bring the cookie but no token."""
    changed = {
        str(seen.route): sql[:150]
        for seen in visits
        for sql in seen.wrote
        if not any(book in sql for book in BOOKS)
    }
    assert changed == {}


def test_no_form_of_another_site_changes_anything(role_clients):
    """The same by a form elsewhere, sent by the owner's own browser."""
    browser = Client(enforce_csrf_checks=True)
    browser.cookies = role_clients.people[-1].client.cookies.copy()
    elsewhere = {"Origin": "https://evil.example", "Referer": "https://evil.example/"}
    form = {"content_type": "application/x-www-form-urlencoded", "headers": elsewhere}
    came_through = []
    for route in PRESSED:
        address = reverse(route.name, kwargs=ids_of(route, role_clients.world))
        for method in set(route.policy.methods) - {"GET"}:
            response = browser.generic(method, address, "a=b", **form)
            if response.status_code != 403:
                came_through.append(f"{method} {route}: {response.status_code}")
    assert came_through == []


# ---- Headers ----


def test_every_page_carries_the_headers_that_protect_it(visits):
    wrong = {str(seen.route): bad for seen in visits if (bad := list(lacking(seen.response)))}
    assert wrong == {}


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/nowhere/", 404),
        ("PUT", "/sign-in/", 405),
        ("GET", "/v1/models", 401),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/nothing", 401),
        ("GET", "/static/no.css", 404),
    ],
)
def test_and_so_does_every_refusal(role_clients, method, address, status):
    response = Client().generic(method, address)
    assert (response.status_code, list(lacking(response))) == (status, [])


def test_and_so_does_a_fault_of_ours(role_clients, monkeypatch):
    monkeypatch.setattr("finetune_app.guide.services.sample_minutes", lambda: 1 / 0)
    response = role_clients.people[-1].ask("GET", "/")
    assert (response.status_code, list(lacking(response))) == (500, [])


RULES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def lacking(response: HttpResponse) -> Iterator[str]:
    """What is not as it has to be on every answer."""
    policy = response.get("Content-Security-Policy", "")
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    yield from (f"{name} {rules.get(name)}" for name in RULES if rules.get(name) != RULES[name])
    if re.search(r"unsafe-|\*|https?:", policy):
        yield f"a loose policy: {policy}"
    for name, value in HEADERS.items():
        if response.get(name) != value:
            yield f"{name}: {response.get(name)}"
    if "no-store" not in response.get("Cache-Control", ""):
        yield f"a browser or a proxy might keep it: {response.get('Cache-Control')}"

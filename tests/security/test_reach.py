"""Reaching for what is behind the pages: files, other columns, the engine's own routes."""

import asyncio
from pathlib import Path

import httpx
import pytest
from django.conf import settings as configured
from django.contrib.auth.hashers import make_password
from django.test import Client
from django.urls import reverse

from finetune_app.datasets.models import Example
from tests.factories import build_world
from worker.engine.model_manager import ModelManager
from worker.engine.server import make_app

# ---- Files (CVE-2023-1177, 2026-2614, 2026-28414) ----

CLIMBING = [
    "/static/../secrets.json",
    "/static/..%2fsecrets.json",
    "/static/%2e%2e/secrets.json",
    "/static/..%5csecrets.json",
    "/static/....//secrets.json",
    "/static//etc/passwd",
    "/static/%2fetc/passwd",
    "/static/x%00/../../secrets.json",
    "/secrets.json",
    "/static/css/../../secrets.json",
    "/..%2fsecrets.json",
    "//etc/passwd",
    "/data/secrets.json",
]


def test_no_path_climbs_out_of_the_pages_files(db, owner):
    """Path traversal: the collected files lie inside DATA_DIR, next to the secrets."""
    root = Path(configured.STATIC_ROOT)
    root.mkdir(exist_ok=True)
    (root / "fine.css").write_text("a {}")
    somebody = Client()  # its middleware looks at the folder now
    assert somebody.get("/static/fine.css").status_code == 200
    for path in CLIMBING:
        response = somebody.get(path)
        content = b"".join(response) if response.streaming else response.content
        assert response.status_code in (302, 400, 404), path
        assert b"secret_key" not in content, path
        assert b"root:" not in content, path


# ---- Columns (GHSA-6hjj-gq77-j4qw) ----


@pytest.fixture
def world(team, owner):
    owner.password = make_password("correct horse battery")
    owner.save()
    world = build_world(team, owner)
    Example.objects.update(changed_by=owner)
    return world


def test_a_filter_reaches_no_other_column(as_viewer, world, owner):
    """A name of a filter that walks over to the account, and reads a hash letter by letter."""
    page = reverse("datasets:page", args=[world.goal.pk])
    first = owner.password[:6]
    for name in ("changed_by__password__startswith", "dataset__goal__team__name", "by__password"):
        right = as_viewer.get(page, {name: first, "q": "bike"})
        wrong = as_viewer.get(page, {name: "no such", "q": "bike"})
        assert right.status_code == wrong.status_code == 200
        assert shown(right) == shown(wrong) > 0
    for order in ("changed_by__password", "-changed_by__password", "pk; DROP TABLE", "?"):
        assert shown(as_viewer.get(page, {"sort": order})) == Example.objects.count()


def shown(response) -> int:
    return response.content.decode().count(": is my bike ready?")


# ---- The engine (CVE-2023-48022, vLLM's load_lora_adapter) ----


def test_every_route_of_the_engine_wants_the_secret(tmp_path):
    app = make_app(ModelManager(tmp_path), "the secret")
    routes = [route.path for route in app.routes]
    assert {"/chat", "/unload", "/health"} <= set(routes)

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://engine") as http:
            return [
                (await http.request(method, path, headers=headers, json={})).status_code
                for path in [*routes, "/nothing", "/openapi.json", "/docs", "/v1/load_lora_adapter"]
                for method in ("GET", "POST", "DELETE", "OPTIONS")
                for headers in ({}, {"X-Engine-Secret": ""}, {"X-Engine-Secret": "the secret "})
            ]

    assert set(asyncio.run(ask())) == {403}

"""Fixtures for all tests: an owner, an editor and a viewer of a team, and a stranger."""

import gc
import shutil
from pathlib import Path

import pytest
from _pytest import runner
from django.conf import settings
from django.core.cache import cache
from django.test import Client

from finetune_app.accounts.models import Membership, Role, Team, User
from finetune_app.core import call_stack
from finetune_app.goals.models import Goal
from tests.database import (  # noqa: F401
    django_db_keepdb,
    django_db_modify_db_settings,
    quick_flush,
)
from tests.starter import starter  # noqa: F401

PASSWORD = "correct horse battery"
USES_DATABASE = {"db", "transactional_db", "live_server", "django_db_setup"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests without a database, which need not run on a second one."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if not fixtures & USES_DATABASE and not item.get_closest_marker("django_db"):
            item.add_marker(pytest.mark.no_database)


def pytest_collection_finish() -> None:
    """Full collections are rare: automatic ones took nearly a tenth of the tests' time."""
    gc.set_threshold(100_000, 50, 100)
    _freeze()


def _freeze() -> None:
    """Have later collections leave out what is in memory now. Else each looks at all that earlier
    tests have left, which took half a second after some thousand of them, and every training and
    every model that is loaded or unloaded collects."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """As pytest itself does it, and with the call stack in one piece, as in the web."""
    done = call_stack.call(runner.pytest_runtest_protocol, item, nextitem)
    if nextitem is None or nextitem.path != item.path:
        _freeze()
    return done


@pytest.fixture(autouse=True)
def _plain_static(settings):
    """Tests use no manifest of static files, no broker and quick passwords."""
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _no_files_of_earlier_trainings():
    """A test that is rolled back gives its training's number, and so its folder, to the next."""
    yield
    shutil.rmtree(settings.DATA_DIR / "runs", ignore_errors=True)


@pytest.fixture
def data_dir() -> Path:
    return Path(settings.DATA_DIR)


def person(email: str, team: Team | None = None, role: Role = Role.EDITOR) -> User:
    user = User.objects.create_user(email, PASSWORD, name=email.split("@")[0].title())
    if team:
        Membership.objects.create(team=team, user=user, role=role)
    return user


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def team(db) -> Team:
    return Team.objects.create(name="Kettle Lane Cycles")


@pytest.fixture
def owner(team) -> User:
    return person("mara@kettle.example", team, Role.OWNER)


@pytest.fixture
def editor(team) -> User:
    return person("jonas@kettle.example", team, Role.EDITOR)


@pytest.fixture
def viewer(team) -> User:
    return person("vera@kettle.example", team, Role.VIEWER)


@pytest.fixture
def stranger(db) -> User:
    return person("eve@other.example", Team.objects.create(name="Another team"), Role.OWNER)


@pytest.fixture
def as_owner(owner) -> Client:
    return signed_in(owner)


@pytest.fixture
def as_editor(editor) -> Client:
    return signed_in(editor)


@pytest.fixture
def as_viewer(viewer) -> Client:
    return signed_in(viewer)


@pytest.fixture
def as_stranger(stranger) -> Client:
    return signed_in(stranger)


@pytest.fixture
def goal(team, owner) -> Goal:
    return Goal.objects.create(
        team=team, name="Sort shop emails", description="Sort each email.", created_by=owner
    )

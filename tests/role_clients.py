"""Test data of two teams, and a test client for each role."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.cookies import SimpleCookie

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client

from finetune_app.accounts.models import Role, Team, User
from finetune_app.accounts.services import set_operator
from tests.conftest import person, signed_in
from tests.factories import World, build_world


@dataclass(frozen=True)
class Person:
    word: str  # name in failure messages
    role: Role | None  # in the team whose goal this is
    client: Client | None
    is_operator: bool = False
    # Sends all their requests: a new one would load the middleware for each.
    browser: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def ask(self, method: str, address: str, **headers: str) -> HttpResponse:
        """Send one request and roll back its changes to the database."""
        browser = self.browser
        browser.cookies = self.client.cookies.copy() if self.client else SimpleCookie()
        savepoint = transaction.savepoint()
        try:
            form = "application/x-www-form-urlencoded"
            return browser.generic(method, address, content_type=form, headers=headers)
        finally:
            transaction.savepoint_rollback(savepoint)


@dataclass(frozen=True)
class RoleClients:
    world: World
    theirs: World
    people: list[Person]


@pytest.fixture(scope="module", name="role_clients")
def role_clients_fixture(django_db_setup, django_db_blocker) -> Iterator[RoleClients]:
    """Created once per module and rolled back at its end; Person.ask rolls back each request."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield _role_clients()
        transaction.set_rollback(True)


def _role_clients() -> RoleClients:
    team = Team.objects.create(name="Kettle Lane Cycles")
    owner = person("mara@kettle.example", team, Role.OWNER)
    operator = person("ada@machine.example", team, Role.VIEWER)
    set_operator(user=operator, on=True)
    stranger = person("eve@other.example", Team.objects.create(name="Another team"), Role.OWNER)

    def inside(word: str, role: Role | None, user: User) -> Person:
        client = signed_in(user)
        client.get("/v1/models")  # notes that the session is in use, which each request would again
        return Person(word, role, client)

    return RoleClients(
        build_world(team, owner),
        build_world(stranger.teams.get(), stranger),
        [
            Person("somebody outside", None, None),
            inside("a stranger", None, stranger),
            inside("a viewer", Role.VIEWER, person("vera@kettle.example", team, Role.VIEWER)),
            replace(inside("an operator", Role.VIEWER, operator), is_operator=True),
            inside("an editor", Role.EDITOR, person("jonas@kettle.example", team, Role.EDITOR)),
            inside("an owner", Role.OWNER, owner),
        ],
    )

"""Who may do what, on every address there is.

Walks the URL configuration, and for each route tries every method as somebody outside, a
stranger (owner of another team), a viewer, an editor and an owner, and compares what happens
with the policy that the view declares (accounts/access.py). A route without one fails.

What a new route may need here: a line in BUILD that says how to make its ids.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, path, reverse

from finetune_app.accounts.access import Policy, public
from finetune_app.accounts.models import Role, Team, User
from tests.conftest import person, signed_in
from tests.factories import World, build_world

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
pytestmark = pytest.mark.django_db
SCOPES = ("public", "account", "team", "goal", "key")
FINE = {200, 201, 204, 302, 303, 400, 409, 422}  # 4xx: an empty form, or not in this state

# How to make each id that stands in an address, from a world with one of everything.
BUILD: dict[str, Callable[[World], Any]] = {
    "goal_id": lambda world: world.goal.pk,
    "check_name": lambda world: world.finding.check_name,
    "form": lambda world: "jsonl",  # of a downloaded version
    "other": lambda world: 1,  # a version to hold against another
    "number": lambda world: 1,  # of the example, version or training: the world's first
    "example_id": lambda world: world.example.pk,
    "edit_id": lambda world: world.edit.pk,
    "finding_id": lambda world: world.finding.pk,
    "import_id": lambda world: world.file.pk,
    "upload_id": lambda world: world.upload.pk,
    "version_id": lambda world: world.version.pk,
    "install_id": lambda world: world.install.pk,
    "base_model_id": lambda world: world.base_model.pk,
    "slug": lambda world: world.base_model.slug,
    "training_id": lambda world: world.training.pk,
    "candidate_id": lambda world: world.candidates[1].pk,
    "evaluation_id": lambda world: world.evaluation.pk,
    "index": lambda world: 0,  # of the first test prompt
    "job_id": lambda world: world.training.job.pk,
    "public_id": lambda world: world.training.job.public_id,
    "membership_id": lambda world: world.member.pk,
    "invitation_id": lambda world: world.invitation.pk,
    "secret": lambda world: world.secret,
    "question": lambda world: "improve",  # of the wizard
    "advice_id": lambda world: world.advice.pk,
    "endpoint_id": lambda world: world.endpoint.pk,
    "saved_id": lambda world: world.kept.pk,
    "document_id": lambda world: world.document.pk,
    "key_id": lambda world: world.api_key.pk,
    "request_id": lambda world: world.asked.pk,
    "reply_id": lambda world: world.asked.reply_id,
    "export_id": lambda world: world.export.pk,
    "link": lambda world: world.public_chat.link,  # of a chat page for others
    "name": lambda world: world.base_model.slug,  # of a model, in the API
    "rest": lambda world: "assistants",
    "file_id": lambda world: "file-0",
    "action": lambda world: "pause",
}
# Not ids of a row of somebody's: nothing to mix up between two goals.
COUNTED_IN_THE_GOAL = {
    "goal_id",
    "number",
    "other",
    "index",
    "slug",
    "check_name",
    "form",
    "question",
}


@dataclass(frozen=True)
class Route:
    name: str
    pattern: str
    view: Callable[..., HttpResponse]
    ids: tuple[str, ...]

    @property
    def policy(self) -> Policy | None:
        return getattr(self.view, "policy", None)

    def __str__(self) -> str:
        return self.name


def walk(patterns: list, prefix: str = "", spaces: str = "", ids: tuple = ()) -> Iterator[Route]:
    for entry in patterns:
        found = (*ids, *entry.pattern.converters)
        if isinstance(entry, URLResolver):
            inner = f"{spaces}{entry.namespace}:" if entry.namespace else spaces
            yield from walk(entry.url_patterns, prefix + str(entry.pattern), inner, found)
        elif isinstance(entry, URLPattern):
            where = prefix + str(entry.pattern)
            yield Route(f"{spaces}{entry.name or where}", where, entry.callback, found)


ROUTES = list(walk(get_resolver().url_patterns))


def without_policy(routes: list[Route]) -> list[str]:
    return [f"{route.name} (/{route.pattern})" for route in routes if route.policy is None]


def ids_of(route: Route, world: World) -> dict[str, Any]:
    unknown = [name for name in route.ids if name not in BUILD]
    if unknown:
        pytest.fail(
            f"{route.name} has <{', '.join(unknown)}> in its address /{route.pattern}. "
            f"Tell this test how to make it: add it to BUILD in {__file__} "
            "(and to tests/world.py, if the world has none yet)."
        )
    return {name: BUILD[name](world) for name in route.ids}


# ---- Every view says who may use it ----


def test_every_route_declares_its_policy():
    missing = without_policy(ROUTES)
    assert not missing, (
        "These views do not say who may use them. Decorate each with exactly one of @public, "
        "@account, @member (accounts/access.py) or @goal_page (goals/access.py), outermost: "
        + ", ".join(missing)
    )


def test_every_policy_is_one_this_test_understands():
    strange = [
        f"{route}: scope {route.policy.scope!r}, methods {route.policy.methods}"
        for route in ROUTES
        if route.policy
        and (
            route.policy.scope not in SCOPES
            or not set(route.policy.methods) <= set(METHODS)
            or not route.policy.methods
        )
    ]
    assert not strange, f"Teach expectation() below what should happen here: {strange}"


def test_a_goal_in_the_address_is_looked_up_by_goal_page():
    """A view that takes a goal's id and only asks for an account would find any goal."""
    wrong = [
        r.name for r in ROUTES if r.policy and ("goal_id" in r.ids) != (r.policy.scope == "goal")
    ]
    assert not wrong, f"Use @goal_page, and it alone, where the address has a goal: {wrong}"


def test_no_two_routes_have_the_same_name():
    names = [route.name for route in ROUTES]
    assert sorted(names) == sorted(set(names))


def test_a_view_without_a_policy_would_be_found():
    def forgotten(request):
        return HttpResponse("everybody's")

    @public("GET")
    def declared(request):
        return HttpResponse("everybody's")

    routes = list(walk([path("a/", forgotten, name="a"), path("b/", declared, name="b")]))
    assert without_policy(routes) == ["a (/a/)"]


# ---- What happens is what the view says ----


@dataclass(frozen=True)
class Person:
    word: str  # how failures call them
    role: Role | None  # in the team whose goal this is
    client: Client | None

    def ask(self, method: str, address: str, **headers: str) -> HttpResponse:
        """One request, after which the database is as before."""
        browser = Client(raise_request_exception=False)
        if self.client:
            browser.cookies = self.client.cookies.copy()
        place = transaction.savepoint()
        try:
            form = "application/x-www-form-urlencoded"
            return browser.generic(method, address, content_type=form, headers=headers)
        finally:
            transaction.savepoint_rollback(place)


@dataclass(frozen=True)
class Story:
    """One world for all tests here, another team's beside it, and everybody who may knock."""

    world: World
    theirs: World
    people: list[Person]


@pytest.fixture(scope="module")
def story(django_db_setup, django_db_blocker) -> Iterator[Story]:
    """Made once: every request is undone by itself (Person.ask), and all of it in the end."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield _story()
        transaction.set_rollback(True)


def _story() -> Story:
    team = Team.objects.create(name="Kettle Lane Cycles")
    owner = person("mara@kettle.example", team, Role.OWNER)
    stranger = person("eve@other.example", Team.objects.create(name="Another team"), Role.OWNER)

    def inside(word: str, role: Role | None, user: User) -> Person:
        return Person(word, role, signed_in(user))

    return Story(
        build_world(team, owner),
        build_world(stranger.teams.get(), stranger),
        [
            Person("somebody outside", None, None),
            inside("a stranger", None, stranger),
            inside("a viewer", Role.VIEWER, person("vera@kettle.example", team, Role.VIEWER)),
            inside("an editor", Role.EDITOR, person("jonas@kettle.example", team, Role.EDITOR)),
            inside("an owner", Role.OWNER, owner),
        ],
    )


@pytest.fixture
def world(story) -> World:
    return story.world


@pytest.fixture
def people(story) -> list[Person]:
    return story.people


def expectation(route: Route, person: Person, method: str) -> str:
    """What should happen, in a word: wrong method, door, key wanted, hidden, refused or fine."""
    policy = route.policy
    if method not in policy.methods:
        return "wrong method"
    if policy.scope == "key":  # who is signed in counts for nothing there
        return "key wanted"
    if policy.scope == "public":
        return "fine"
    if person.client is None:
        return "door"
    if person.role is None:  # a stranger: what is not theirs does not exist
        return "hidden" if route.ids else "fine"
    if policy.scope != "account" and not person.role.covers(policy.needed_for(method)):
        return "refused"
    return "fine"


def outcome(response: HttpResponse) -> str:
    to_the_door = response.get("Location", "").startswith(reverse("accounts:sign_in"))
    if response.status_code == 302 and to_the_door and "next=" in response["Location"]:
        return "door"
    words = {401: "key wanted", 403: "refused", 404: "hidden", 405: "wrong method"}
    word = words.get(response.status_code)
    return word or ("fine" if response.status_code in FINE else "broken")


def describe(route: Route, who: str, method: str, wanted: str, response: HttpResponse) -> str:
    error = getattr(response, "exc_info", None)
    came = f"{outcome(response)} ({response.status_code})"
    why = f"\n        {error[0].__name__}: {error[1]}" if error else ""
    return f"    {method} as {who}: wanted {wanted}, got {came}{why}"


def report(route: Route, wrong: list[str]) -> str:
    policy = route.policy
    roles = {role.value for m in policy.methods if (role := policy.needed_for(m))}
    return (
        f"{route.name} (/{route.pattern}) declares scope {policy.scope}, "
        f"role {' and '.join(sorted(roles))}, methods {', '.join(policy.methods)}, but:\n"
        + "\n".join(wrong)
        + "\n(Some may look and fewer may change? @goal_page(Role.VIEWER, 'GET', 'POST', "
        "changing=Role.EDITOR).)"
    )


DECLARED = [route for route in ROUTES if route.policy]


@pytest.mark.parametrize("route", DECLARED, ids=str)
def test_everybody_gets_what_the_policy_says(route, world, people):
    address = reverse(route.name, kwargs=ids_of(route, world))
    wrong = []
    for somebody in people:
        for method in METHODS:
            wanted = expectation(route, somebody, method)
            response = somebody.ask(method, address)
            if outcome(response) != wanted:
                wrong.append(describe(route, somebody.word, method, wanted, response))
    assert not wrong, report(route, wrong)


@pytest.mark.parametrize(
    "route", [r for r in DECLARED if r.policy.scope not in ("public", "key")], ids=str
)
def test_htmx_from_outside_is_told_where_the_door_is(route, world, people):
    """It cannot follow a redirect to another page, so it gets an empty answer and a header."""
    address = reverse(route.name, kwargs=ids_of(route, world))
    response = people[0].ask(route.policy.methods[0], address, **{"HX-Request": "true"})
    assert response.status_code == 204
    assert response["HX-Redirect"] == reverse("accounts:sign_in")


MIXABLE = [
    route
    for route in DECLARED
    if route.policy.scope == "goal" and set(route.ids) - COUNTED_IN_THE_GOAL
]


@pytest.mark.parametrize("route", MIXABLE or [None], ids=str)
def test_what_is_below_another_goal_is_not_found_below_mine(route, story):
    """The goal is mine, the id behind it is another team's."""
    if route is None:
        pytest.skip("no such address")
    mixed = ids_of(route, story.theirs) | {"goal_id": story.world.goal.pk}
    for method in route.policy.methods:
        response = story.people[-1].ask(method, reverse(route.name, kwargs=mixed))
        assert response.status_code == 404, describe(route, "an owner", method, "hidden", response)


@pytest.mark.parametrize("route", [r for r in DECLARED if "number" in r.ids], ids=str)
def test_a_number_that_does_not_exist_is_not_found(route, world, people):
    address = reverse(route.name, kwargs=ids_of(route, world) | {"number": 999})
    for method in route.policy.methods:
        response = people[-1].ask(method, address)
        assert response.status_code == 404, describe(route, "an owner", method, "hidden", response)

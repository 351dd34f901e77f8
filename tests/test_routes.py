"""Permissions of every route.

Sends each method to each route signed out, as a stranger (owner of another team), a viewer, an
editor and an owner, and compares the outcome with the policy that the view declares
(accounts/access.py). A route without a policy fails.

A new kind of id in a route needs a line in BUILD (tests/routes.py).
"""

import pytest
from django.http import HttpResponse
from django.urls import path, reverse

from finetune_app.accounts.access import public
from finetune_app.accounts.models import Role
from tests.factories import World
from tests.role_clients import Person, role_clients_fixture  # noqa: F401
from tests.routes import COUNTED_IN_THE_GOAL, DECLARED, METHODS, ROUTES, Route, ids_of, walk

pytestmark = pytest.mark.django_db
SCOPES = ("public", "account", "team", "goal", "key", "operator")
FINE = {200, 201, 204, 302, 303, 400, 409, 422}  # 4xx: an empty form, or not in this state


def without_policy(routes: list[Route]) -> list[str]:
    return [f"{route.name} (/{route.pattern})" for route in routes if route.policy is None]


# ---- Every view declares a policy ----


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
    """A view with a goal's id that only requires an account would find any goal."""
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


# ---- Outcomes match the policy ----


@pytest.fixture
def world(role_clients) -> World:
    return role_clients.world


@pytest.fixture
def people(role_clients) -> list[Person]:
    return role_clients.people


def expectation(route: Route, person: Person, method: str) -> str:
    """The expected outcome: wrong method, sign in, key wanted, hidden, refused or fine."""
    policy = route.policy
    if method not in policy.methods:
        return "wrong method"
    if policy.scope == "key":  # sessions do not count there
        return "key wanted"
    if policy.scope == "public":
        return "fine"
    if person.client is None:
        return "sign in"
    if policy.scope == "account" and route.ids:  # a person's own, here the owner's
        return "fine" if person.role is Role.OWNER else "hidden"
    if policy.scope == "operator":
        return "fine" if person.is_operator else "hidden"
    if person.role is None:  # a stranger gets 404
        return "hidden" if route.ids else "fine"
    if policy.scope != "account" and not person.role.covers(policy.needed_for(method)):
        return "refused"
    return "fine"


def outcome(response: HttpResponse) -> str:
    to_sign_in = response.get("Location", "").startswith(reverse("accounts:sign_in"))
    if response.status_code == 302 and to_sign_in and "next=" in response["Location"]:
        return "sign in"
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


@pytest.mark.parametrize("route", DECLARED, ids=str)
def test_each_role_gets_what_the_policy_allows(route, world, people):
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
def test_htmx_requests_get_the_sign_in_address_when_signed_out(route, world, people):
    """htmx cannot follow a redirect to another page, so it gets a header instead."""
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
def test_ids_of_another_teams_goal_are_not_found(route, role_clients):
    """The goal is the user's, the other id belongs to another team."""
    if route is None:
        pytest.skip("no such address")
    mixed = ids_of(route, role_clients.theirs) | {"goal_id": role_clients.world.goal.pk}
    for method in route.policy.methods:
        response = role_clients.people[-1].ask(method, reverse(route.name, kwargs=mixed))
        assert response.status_code == 404, describe(route, "an owner", method, "hidden", response)


@pytest.mark.parametrize("route", [r for r in DECLARED if "number" in r.ids], ids=str)
def test_a_number_that_does_not_exist_is_not_found(route, world, people):
    address = reverse(route.name, kwargs=ids_of(route, world) | {"number": 999})
    for method in route.policy.methods:
        response = people[-1].ask(method, address)
        assert response.status_code == 404, describe(route, "an owner", method, "hidden", response)

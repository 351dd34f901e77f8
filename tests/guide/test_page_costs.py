"""What a page costs: how often it asks the database, and how large it is.

    python -m pytest -s tests/guide/test_page_costs.py

prints the table of docs/benchmarks/pages.md.
"""

from dataclasses import dataclass

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from finetune_app.datasets.models import Example
from finetune_app.request_log.rollups import roll_up_finished_hours
from tests.role_clients import role_clients_fixture  # noqa: F401
from tests.routes import DECLARED, Route, ids_of

pytestmark = pytest.mark.django_db
MOST_QUERIES, MOST_BYTES = 20, 200_000
MORE_ROWS = 400


@dataclass(frozen=True)
class Cost:
    page: str
    queries: int
    size: int


def of_a_goal(route: Route) -> bool:
    return bool(route.policy and route.policy.scope == "goal" and "GET" in route.policy.methods)


def costs(role_clients) -> dict[str, Cost]:
    """Of every page of a goal, opened by its owner, who has seen each before; finished hours are
    rolled up, as the clock does every minute."""
    roll_up_finished_hours()
    client, found = role_clients.people[-1].client, {}
    for route in filter(of_a_goal, DECLARED):
        address = reverse(route.name, kwargs=ids_of(route, role_clients.world))
        client.get(address)
        with CaptureQueriesContext(connection) as queries:
            response = client.get(address)
        if response.get("Content-Type", "").startswith("text/html"):
            found[route.name] = Cost(route.name, len(queries), len(response.content))
    return found


def add_examples(goal) -> None:
    last = Example.objects.filter(dataset__goal=goal).order_by("number").last()
    Example.objects.bulk_create(
        Example(
            dataset_id=last.dataset_id,
            number=last.number + n,
            messages=last.messages,
            prompt=f"{last.prompt} {n}",
            answer=last.answer,
            prompt_hash=f"{n:032x}",
            status=last.status,
            split=last.split,
        )
        for n in range(1, MORE_ROWS + 1)
    )


def test_no_page_asks_much_more_often_or_is_large(role_clients):
    found = costs(role_clients)
    print("\n| page | queries | kB |\n|---|---|---|")
    for one in sorted(found.values(), key=lambda one: -one.queries):
        print(f"| {one.page} | {one.queries} | {one.size / 1000:.0f} |")
    often = {one.page: one.queries for one in found.values() if one.queries > MOST_QUERIES}
    assert not often, "Read rows together (select_related, one query for all), or once."
    assert not [one.page for one in found.values() if one.size > MOST_BYTES]


def test_more_examples_are_no_more_queries(role_clients):
    before = costs(role_clients)
    add_examples(role_clients.world.goal)
    after = costs(role_clients)
    more = {name: after[name].queries - before[name].queries for name in before if name in after}
    # A page may have its second page, or what comes with many: not a query for each row.
    assert not {name: n for name, n in more.items() if n > 3}
    assert not [one.page for one in after.values() if one.size > MOST_BYTES]

"""How long does each page of a large goal take at the server, what does it ask, how large is it?

    python -m benchmarks.pages --rows 100000 --trainings 50 --requests 1000000 --goals 200
    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python -m benchmarks.pages ...

Makes a database of its own with a goal that has been through all six steps, grows it, and opens
every page that a member can open in it, the home page with all goals and the pages of the team,
through Django's test client: routing, sign-in, queries and templates, without the network. Prints
the 50th and 95th percentile of each, the slowest first.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.large_goal import Size, grow
from benchmarks.own_database import own_database

OTHER_PAGES = ("guide:home", "api_keys:page", "accounts:team")


@dataclass(frozen=True)
class Visits:
    """Of one page; times in ms, sorted."""

    page: str
    times: list[float]
    busy: list[float]  # processor time
    queries: int
    size: int  # bytes

    @property
    def p50(self) -> float:
        return statistics.median(self.times)

    @property
    def p95(self) -> float:
        return self.times[min(len(self.times) - 1, int(0.95 * len(self.times)))]


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--rows", type=int, default=100_000)
    given.add_argument("--trainings", type=int, default=50)
    given.add_argument("--requests", type=int, default=1_000_000)
    given.add_argument("--goals", type=int, default=200)
    given.add_argument("--repeats", type=int, default=20)
    asked = given.parse_args()
    with own_database("pages"):
        size = Size(asked.rows, asked.trainings, asked.requests, asked.goals)
        run(size, asked.repeats)


def run(size: Size, repeats: int) -> None:
    from django.db import connection

    print(f"{size} on {connection.vendor}")
    client, world = fill()
    began = time.perf_counter()
    grow(world.goal, size)
    print(f"filled in {time.perf_counter() - began:,.0f} s")
    found = [one for name, at in addresses(world) if (one := visit(client, name, at, repeats))]
    print("\n| page | p50 ms | p95 | of it processor time, p50 | queries | kB |")
    print("|---|---|---|---|---|---|")
    for one in sorted(found, key=lambda one: -one.p50):
        busy = statistics.median(one.busy)
        print(
            f"| {one.page} | {one.p50:.0f} | {one.p95:.0f} | {busy:.0f} | {one.queries} "
            f"| {one.size / 1000:.0f} |"
        )


def fill() -> tuple[Any, Any]:
    """A signed-in client of the owner, and what tests/factories.py makes for all pages."""
    from django.test import Client

    from finetune_app.accounts.models import Membership, Role, Team, User
    from tests.factories import build_world

    team = Team.objects.create(name="Kettle Lane Cycles")
    owner = User.objects.create_user("mara@kettle.example", "correct horse battery", name="Mara")
    Membership.objects.create(team=team, user=owner, role=Role.OWNER)
    client = Client()
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    return client, build_world(team, owner)


def addresses(world: Any) -> Iterator[tuple[str, str]]:
    """(name of the route, address) of every page that can be opened."""
    from django.urls import reverse

    from tests.routes import DECLARED, ids_of

    for route in DECLARED:
        policy = route.policy
        in_goal = policy.scope == "goal" and "GET" in policy.methods
        if in_goal or route.name in OTHER_PAGES:
            yield route.name, reverse(route.name, kwargs=ids_of(route, world))


def visit(client: Any, page: str, address: str, repeats: int) -> Visits | None:
    """None for what is not a page, such as a file, and for a page that sends people on."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client.get(address)  # templates are read once
    with CaptureQueriesContext(connection) as queries:
        reply = client.get(address)
        asked = len(queries)  # the next request forgets them
    is_page = reply.get("Content-Type", "").startswith("text/html")
    if not is_page or reply.status_code != 200:
        return None
    times, busy = [], []
    for _turn in range(repeats):
        clock, processor = time.perf_counter(), time.process_time()
        client.get(address)
        times.append(1000 * (time.perf_counter() - clock))
        busy.append(1000 * (time.process_time() - processor))
    return Visits(page, sorted(times), sorted(busy), asked, len(reply.content))


if __name__ == "__main__":
    main()

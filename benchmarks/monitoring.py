"""How long does the live page of a deployment take after a month of very many requests?

    python -m benchmarks.monitoring --requests 1000000
    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python -m benchmarks.monitoring ...

Makes a database of its own, fills it with a month of requests (4 keys, 3 versions, busier by day),
adds its hours up as the clock does, and asks for the page through Django's test client. Prints the
50th and 95th percentile of each range, and what adding up took.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
os.environ.setdefault("LOG_LEVEL", "ERROR")

BATCH = 5_000
DAYS = 30


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--requests", type=int, default=100_000)
    given.add_argument("--repeats", type=int, default=20)
    asked = given.parse_args()
    with tempfile.TemporaryDirectory(prefix="finetune-monitoring-") as folder:
        os.environ["DATA_DIR"] = folder
        import django

        django.setup()
        from django.conf import settings
        from django.db import connection

        settings.STORAGES["staticfiles"]["BACKEND"] = (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
        )
        settings.ALLOWED_HOSTS.append("testserver")
        name = connection.creation.create_test_db(verbosity=0, serialize=False)
        try:
            run(asked.requests, asked.repeats)
        finally:
            connection.creation.destroy_test_db(name, verbosity=0)


def run(requests: int, repeats: int) -> dict[str, float]:
    """Prints the tables; the 95th percentile of each range in ms."""
    from django.db import connection

    print(f"{requests:,} requests on {connection.vendor}")
    seconds, (client, base) = measure(lambda: fill(requests))
    print(f"filled in {seconds:,.0f} s")
    seconds, hours = measure(add_up)
    print(f"{hours} hours added up in {seconds:,.1f} s")
    found = {}
    print("\n| range | fastest ms | p50 | p95 | of it processor time, p50 |\n|---|---|---|---|---|")
    for what in ("hour", "day", "week", "month"):
        times, busy = [], []
        for _turn in range(repeats):
            before = time.process_time()
            spent, reply = measure(lambda what=what: client.get(f"{base}?range={what}"))
            assert reply.status_code == 200, (what, reply.status_code)
            times.append(1000 * spent)
            busy.append(1000 * (time.process_time() - before))
        times.sort()
        found[what] = times[min(len(times) - 1, int(0.95 * len(times)))]
        shown = (times[0], statistics.median(times), found[what], statistics.median(busy))
        print(f"| {what} | " + " | ".join(f"{one:.0f}" for one in shown) + " |", flush=True)
    return found


def fill(requests: int) -> tuple[Any, str]:
    """A signed-in client, and the address of the page."""
    from django.test import Client
    from django.urls import reverse

    from finetune_app.accounts.models import Membership, Role, Team, User
    from finetune_app.basemodels.models import BaseModel
    from finetune_app.candidates.models import Candidate, CandidateKind
    from finetune_app.deployment.models import ApiKey, Deployment, Release, Request
    from finetune_app.goals.models import Goal

    team = Team.objects.create(name="Kettle Lane Cycles")
    user = User.objects.create_user("mara@kettle.example", "correct horse battery", name="Mara")
    Membership.objects.create(team=team, user=user, role=Role.OWNER)
    goal = Goal.objects.create(team=team, name="Sort shop emails", created_by=user)
    base = BaseModel.objects.create(slug="tiny", name="Tiny", source="x", parameters=1, context=512)
    live = Deployment.objects.create(team=team, goal=goal, name="shop-mail", hour_price=2)
    candidate = Candidate.objects.create(
        goal=goal, kind=CandidateKind.BASE, name="Base", base_model=base
    )
    releases = [
        Release.objects.create(deployment=live, number=n, candidate=candidate) for n in (1, 2, 3)
    ]
    keys = [
        ApiKey.objects.create(team=team, name=f"key {n}", prefix=f"p{n}", ending="x", digest=str(n))
        for n in range(4)
    ]

    def made() -> Iterator[Request]:
        rng = random.Random(17)
        for at in moments(requests, rng):
            failed = rng.random() < 0.01
            waited = rng.lognormvariate(-0.3, 0.6)
            yield Request(
                team=team, deployment=live, key=rng.choice(keys), model=live.name, at=at,
                release=releases[0 if at.day < 12 else 1 if at.day < 20 else 2],
                status=429 if failed else 200, error="engine_busy" if failed else "",
                seconds=waited, first_seconds=None if failed else waited / 5,
                prompt_tokens=rng.randint(40, 400), tokens=rng.randint(4, 80),
            )  # fmt: skip

    rows = made()
    while batch := [row for row, _n in zip(rows, range(BATCH), strict=False)]:
        Request.objects.bulk_create(batch, batch_size=1000)
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client, reverse("deployment:monitor", kwargs={"goal_id": goal.pk})


def moments(count: int, rng: random.Random) -> Iterator[datetime]:
    """In order, over the last DAYS days up to now; half of them in eight hours of the day."""
    from django.utils import timezone

    now = timezone.now()
    start = now - timedelta(days=DAYS)
    for n in range(count):
        at = start + timedelta(days=DAYS) * ((n + rng.random()) / count)
        if rng.random() < 0.3:
            at = at.replace(hour=9 + at.hour % 8)
        yield min(at, now)


def add_up() -> int:
    from finetune_app.deployment.models import HourPace
    from finetune_app.deployment.monitoring import hours

    while hours.catch_up():
        pass
    return HourPace.objects.values("at").distinct().count()


def measure(work: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


if __name__ == "__main__":
    main()

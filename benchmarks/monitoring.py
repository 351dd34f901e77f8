"""Response times of the live page and the request list after a month of many requests.

    python -m benchmarks.monitoring --requests 1000000
    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python -m benchmarks.monitoring ...

Makes a database of its own, fills it with a month of requests (4 keys, 3 versions, busier by day;
the texts of all of them, thumbs on one in fifty; one in twenty made, the others copied of them),
adds its hours up as the clock does, and asks for the pages through Django's test client. Prints the
50th and 95th percentile of each, and what adding up took.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from benchmarks.own_database import own_database

BATCH = 5_000
DAYS = 30
RANGES = tuple(f"monitor/?range={what}" for what in ("hour", "day", "week", "month"))
LISTS = {
    "the newest": "",
    "failed": "status=failed",
    "refused": "status=refused",
    "of one key": "key={key}",
    "of the oldest version": "version=1",
    "not helpful": "thumbs=down",
    "5 s and slower": "slow=5",
    "30 s and slower (none)": "slow=30",
    "a word of one in ten": "q=repair",
    "a word of five, long ago": "q=quagga",
    "two words, together in none": "q=quagga+repair",
    "a word of none": "q=okapi",
    "from the middle on": "before={middle}",
}
WORDS = [
    "bike",
    "wheel",
    "brake",
    "chain",
    "gear",
    "saddle",
    "pedal",
    "light",
    "lock",
    "pump",
    "tyre",
    "frame",
    "fork",
    "bell",
    "order",
    "refund",
    "hire",
    "helmet",
    "service",
    "today",
    "tomorrow",
    "week",
    "morning",
    "ready",
    "broken",
    "late",
    "wrong",
    "price",
    "please",
]
SELDOM = 5  # requests, the oldest, that say the word that no other does
COPIES = 20


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--requests", type=int, default=100_000)
    given.add_argument("--repeats", type=int, default=20)
    asked = given.parse_args()
    with own_database("monitoring"):
        run(asked.requests, asked.repeats)


def run(requests: int, repeats: int) -> dict[str, float]:
    """Prints the tables; the 95th percentile of each page in ms."""
    from django.db import connection

    print(f"{requests:,} requests on {connection.vendor}")
    seconds, (client, base) = measure(lambda: fill(requests))
    print(f"filled in {seconds:,.0f} s")
    seconds, hours = measure(add_up)
    print(f"{hours} hours added up in {seconds:,.1f} s")
    return ask(client, base, repeats)


def ask(client: Any, base: str, repeats: int) -> dict[str, float]:
    from finetune_app.api_keys.models import ApiKey
    from finetune_app.request_log.models import Request

    ordered = Request.objects.order_by("at").values_list("pk", flat=True)
    places = {
        "key": ApiKey.objects.values_list("pk", flat=True)[0],
        "middle": ordered[ordered.count() // 2],
    }
    pages = {one.partition("=")[2]: one for one in RANGES}
    pages |= {name: f"requests/?{asked.format(**places)}" for name, asked in LISTS.items()}
    found = {}
    print("\n| page | fastest ms | p50 | p95 | of it processor time, p50 |\n|---|---|---|---|---|")
    for name, path in pages.items():
        times, busy = [], []
        client.get(base + path)  # templates are read once
        for _turn in range(repeats):
            before = time.process_time()
            spent, reply = measure(lambda path=path: client.get(base + path))
            assert reply.status_code == 200, (name, reply.status_code)
            times.append(1000 * spent)
            busy.append(1000 * (time.process_time() - before))
        times.sort()
        found[name] = times[min(len(times) - 1, int(0.95 * len(times)))]
        shown = (times[0], statistics.median(times), found[name], statistics.median(busy))
        print(f"| {name} | " + " | ".join(f"{one:.0f}" for one in shown) + " |", flush=True)
    return found


def fill(requests: int) -> tuple[Any, str]:
    """A signed-in client, and the address of the deployment's pages."""
    from django.test import Client
    from django.urls import reverse

    from finetune_app.accounts.models import Membership, Role, Team, User
    from finetune_app.api_keys.models import ApiKey
    from finetune_app.basemodels.models import BaseModel
    from finetune_app.candidates.models import Candidate, CandidateKind
    from finetune_app.deployment.models import Deployment, Release
    from finetune_app.goals.models import Goal
    from finetune_app.request_log.models import Retention

    team = Team.objects.create(name="Kettle Lane Cycles")
    user = User.objects.create_user("mara@kettle.example", "correct horse battery", name="Mara")
    Membership.objects.create(team=team, user=user, role=Role.OWNER)
    goal = Goal.objects.create(team=team, name="Sort shop emails", created_by=user)
    base = BaseModel.objects.create(slug="tiny", name="Tiny", source="x", parameters=1, context=512)
    live = Deployment.objects.create(team=team, goal=goal, name="shop-mail", hour_price=2)
    candidate = Candidate.objects.create(
        goal=goal, kind=CandidateKind.BASE, name="Base", base_model=base
    )
    Retention.objects.create(deployment=live, on=True, by=user, since=live.created_at)
    releases = [
        Release.objects.create(deployment=live, number=n, candidate=candidate) for n in (1, 2, 3)
    ]
    keys = [
        ApiKey.objects.create(team=team, name=f"key {n}", prefix=f"p{n}", ending="x", digest=str(n))
        for n in range(4)
    ]
    fill_log(live, releases, keys, requests)
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client, reverse("deployment:page", kwargs={"goal_id": goal.pk})


def fill_log(live: Any, releases: list[Any], keys: list[Any], requests: int) -> None:
    """A month of requests of a deployment, each with its texts, thumbs on some; `releases` are
    three, the oldest first."""
    from django.db.models import Max

    from finetune_app.request_log.models import Feedback, Request, Transcript

    there = {
        model: model.objects.aggregate(last=Max("pk"))["last"] or 0
        for model in (Request, Transcript, Feedback)
    }

    def made() -> Iterator[Request]:
        rng = random.Random(17)
        for at in moments(requests // COPIES, rng):
            failed = rng.random() < 0.01
            waited = rng.lognormvariate(-0.3, 0.6)
            yield Request(
                team=live.team,
                deployment=live,
                key=rng.choice(keys),
                model=live.name,
                at=at,
                release=releases[0 if at.day < 12 else 1 if at.day < 20 else 2],
                status=429 if failed else 200,
                error="engine_busy" if failed else "",
                seconds=waited,
                first_seconds=None if failed else waited / 5,
                prompt_tokens=rng.randint(40, 400),
                tokens=rng.randint(4, 80),
                refused=None if failed else rng.random() < 0.005,
            )

    rows = made()
    while batch := [row for row, _n in zip(rows, range(BATCH), strict=False)]:
        Request.objects.bulk_create(batch, batch_size=1000)
        say(batch)
    copy(there)
    made_here = Transcript.objects.filter(pk__gt=there[Transcript])
    oldest = list(made_here.order_by("pk").values_list("pk", flat=True)[:SELDOM])
    Transcript.objects.filter(pk__in=oldest).update(words=" the quagga waits ")


def say(requests: list[Any]) -> None:
    """Transcripts of the requests, and feedback on some."""
    from finetune_app.request_log.models import Feedback, Transcript
    from finetune_app.request_log.retention import searchable

    rng = random.Random(requests[0].pk)
    transcripts, thumbs = [], []
    for one in requests:
        prompt = " ".join(rng.choices(WORDS, k=14)) + (" repair" if rng.random() < 0.1 else "")
        answer = f"topic: {rng.choice(WORDS)}\ndesk: office\ndue: this_week"
        transcripts.append(
            Transcript(
                request=one,
                deployment_id=one.deployment_id,
                prompt=prompt,
                answer=answer,
                messages=[{"role": "user", "content": prompt}],
                words=searchable(prompt, answer),
            )
        )
        if one.pk % 50 == 0:
            thumbs.append(
                Feedback(
                    request=one,
                    deployment_id=one.deployment_id,
                    at=one.at,
                    rating=Feedback.DOWN if one.pk % 200 == 0 else Feedback.UP,
                )
            )
    Transcript.objects.bulk_create(transcripts, batch_size=1000)
    Feedback.objects.bulk_create(thumbs, batch_size=1000)


def copy(there: dict[Any, int]) -> None:
    """All that came after the last row that was there, by model, again and again, by the database:
    a million through objects takes too long."""
    from django.core.management.color import no_style
    from django.db import connection
    from django.db.models import Max, Min

    from finetune_app.request_log.models import Request

    def ends(model: Any) -> tuple[int, int]:
        found = model.objects.filter(pk__gt=there[model])
        ends = found.aggregate(first=Min("pk"), last=Max("pk"))
        return ends["first"], ends["last"]

    first, last = ends(Request)
    for model in there:
        lowest, highest = ends(model)
        moved = {"id": highest - lowest + 1, "request_id": last - first + 1}
        columns = [field.column for field in model._meta.concrete_fields]
        given = [f"{name} + %s" if name in moved else name for name in columns]
        with connection.cursor() as cursor:
            for n in range(1, COPIES):
                cursor.execute(
                    f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) "
                    f"SELECT {', '.join(given)} FROM {model._meta.db_table} "
                    f"WHERE {model._meta.pk.column} BETWEEN %s AND %s",
                    [*(n * moved[name] for name in columns if name in moved), lowest, highest],
                )
    with connection.cursor() as cursor:  # the ids were given, not taken from PostgreSQL's counters
        for statement in connection.ops.sequence_reset_sql(no_style(), list(there)):
            cursor.execute(statement)


def moments(count: int, rng: random.Random) -> Iterator[datetime]:
    """Over the last DAYS days up to now; half of them in eight hours of the day."""
    from django.utils import timezone

    now = timezone.now()
    start = now - timedelta(days=DAYS)
    for n in range(count):
        at = start + timedelta(days=DAYS) * ((n + rng.random()) / count)
        moved = at.replace(hour=9 + at.hour % 8)
        yield moved if moved <= now and rng.random() < 0.3 else at


def add_up() -> int:
    from finetune_app.request_log import rollups
    from finetune_app.request_log.models import HourlyAnswers

    while rollups.roll_up_finished_hours():
        pass
    return HourlyAnswers.objects.values("at").distinct().count()


def measure(work: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


if __name__ == "__main__":
    main()

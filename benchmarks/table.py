"""How long does a page of a very large table take at the server?

    python -m benchmarks.table --rows 1000000
    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python -m benchmarks.table ...

Makes a database of its own (on PostgreSQL the user must be allowed to), fills one dataset with
made-up emails, and asks for pages through Django's test client: routing, sign-in, queries and
templates, without the network. Prints the 50th and 95th percentile of each kind of page, and
what changing all rows takes, with the memory at its highest.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.own_database import own_database

WORDS = 20_000  # in the made-up language
BATCH = 5_000
SEED = 20_000  # rows that are made one by one


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("--rows", type=int, default=100_000)
    given.add_argument("--repeats", type=int, default=20)
    asked = given.parse_args()
    with own_database("table"):
        run(asked.rows, asked.repeats)


def run(rows: int, repeats: int) -> None:
    from django.db import connection

    print(f"{rows:,} rows on {connection.vendor}")
    seconds, there = measure(lambda: fill(rows))
    print(f"filled in {seconds:,.0f} s, {rows / seconds:,.0f} rows/s")
    client, base, other = there
    client.get(base)
    print("\n| page | fastest ms | p50 | p95 | of it processor time, p50 |\n|---|---|---|---|---|")
    for what, query in pages(rows, other).items():
        times, busy = [], []
        for at in range(repeats):
            address, before = base + query(at), time.process_time()
            spent, reply = measure(lambda address=address: client.get(address))
            assert reply.status_code == 200, (what, reply.status_code)
            times.append(1000 * spent)
            busy.append(1000 * (time.process_time() - before))
        times.sort()
        p95 = times[min(len(times) - 1, int(0.95 * len(times)))]
        shown = (times[0], statistics.median(times), p95, statistics.median(busy))
        print(f"| {what} | " + " | ".join(f"{one:.0f}" for one in shown) + " |", flush=True)
    print("\n| change of all rows | s | transactions |\n|---|---|---|")
    change(client, base)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nMemory at its highest: {peak:,.0f} MB")


def pages(rows: int, other: int) -> dict[str, Callable[[int], str]]:
    def deep(at: int) -> int:
        return int(rows * (at * 7919 % 100) / 100)

    return {
        "first page": lambda at: "",
        "somewhere in the middle": lambda at: f"?after={deep(at)}&at={deep(at) + 1}",
        "the same, its place unknown": lambda at: f"?after={deep(at)}",
        "status draft (10 %)": lambda at: "?status=draft",
        "used for the test (18 %)": lambda at: "?split=test",
        "drafts of the validation split": lambda at: "?status=draft&split=validation",
        "the trash (1 %)": lambda at: "?status=trash",
        "changed by somebody (0.1 %)": lambda at: f"?by={other}",
        "assigned to somebody (0.1 %)": lambda at: f"?assigned={other}",
        "assigned to nobody": lambda at: "?assigned=nobody",
        "with a suggestion (100 rows)": lambda at: "?suggested=1",
        "longest of a range": lambda at: "?least=150&most=200",
        "longer than any": lambda at: "?least=99999",
        "newest change first": lambda at: "?sort=newest",
        "longest first": lambda at: "?sort=longest",
        "prompt, A to Z": lambda at: "?sort=prompt",
        "longest first, in the middle": lambda at: f"?sort=longest&after={max(deep(at), 1)}&at=2",
        "prompt, in the middle": lambda at: f"?sort=prompt&after={max(deep(at), 1)}&at=2",
        "a finding of every third row": lambda at: "?finding=third",
        "the same, in the middle": lambda at: f"?finding=third&after={deep(at)}",
        "the same, longest first": lambda at: "?finding=third&sort=longest",
        "the same, its drafts": lambda at: "?finding=third&status=draft",
        "a finding of every 25th row, longest first": lambda at: "?finding=seldom&sort=longest",
        "a finding of the last 3 %": lambda at: "?finding=last",
        "search: a rare word (10 rows)": lambda at: "?q=unicorn",
        "search: a word in 0.15 %": lambda at: "?q=" + word(300),
        "search: a word in 0.7 %": lambda at: "?q=" + word(100),
        "search: a word in 1 %": lambda at: "?q=" + word(80),
        "search: a common word": lambda at: "?q=" + word(0),
        "search: no row says it": lambda at: f"?q=qqxzzy{at}",
        "search: two letters that no row has": lambda at: "?q=qx",
        "search: two letters that ten rows have": lambda at: "?q=rn",
        "search: one letter that no row has": lambda at: "?q=q",
        "search: one letter that all have": lambda at: "?q=b",
        "search: common word in drafts": lambda at: f"?q={word(0)}&status=draft&sort=longest",
        "search: rare word, newest first": lambda at: "?q=unicorn&sort=newest",
    }


def change(client: Any, base: str) -> None:
    from finetune_app.datasets.models import Edit
    from finetune_app.datasets.services import batch_edits

    def through(_reply: Any) -> int:
        """Let the change end here, as its job does; how many parts that took."""
        edit, count = Edit.objects.latest("pk"), 0
        while edit.todo:
            edit, count = batch_edits.run_next_step(edit), count + 1
        return count

    def aside() -> int:
        return through(client.post(base + "bulk/", {"what": "set_aside", "which": "all"}))

    def undo() -> int:
        return through(client.post(f"{base}undo/{Edit.objects.latest('pk').pk}/"))

    for what, work in (("set all aside", aside), ("undo that", undo)):
        spent, parts = measure(work)
        print(f"| {what} | {spent:,.0f} | {parts} |", flush=True)


def measure(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


# ---- The rows ----


def word(place: int) -> str:
    """The same made-up word for the same place; a low place is a frequent word."""
    draw = random.Random(place)
    return "".join(draw.choice("bcdfghklmnprstvw") + draw.choice("aeiou") for _ in range(3))


def texts(rows: int) -> Iterator[tuple[str, str]]:
    draw = random.Random(17)
    some = [word(place) for place in range(WORDS)]

    def say(count: int) -> str:
        picked = (min(int(draw.paretovariate(0.6)) - 1, WORDS - 1) for _ in range(count))
        return " ".join(some[at] for at in picked)

    for _at in range(rows):
        yield say(draw.randint(6, 24)), say(draw.randint(2, 8))


def fill(rows: int) -> tuple[Any, str, int]:
    """(a signed-in client, the address of the table, somebody else's key)."""
    from django.test import Client

    from finetune_app.accounts.models import Membership, Role, Team, User
    from finetune_app.checks import services as checks
    from finetune_app.checks.models import Finding
    from finetune_app.datasets.models import Dataset, Suggestion
    from finetune_app.goals.models import Goal

    team = Team.objects.create(name="Large")
    owner, other = (User.objects.create_user(f"{n}@large.example", None, name=n) for n in "ab")
    for user in (owner, other):
        Membership.objects.create(team=team, user=user, role=Role.OWNER)
    goal = Goal.objects.create(team=team, name="Large", created_by=owner)
    dataset = Dataset.objects.create(goal=goal)
    fill_dataset(dataset, rows, owner, other)
    some = dataset.examples.filter(number__lte=100)
    Suggestion.objects.bulk_create(Suggestion(example=e, answer="x", source="base") for e in some)
    keys = list(dataset.examples.order_by("number").values_list("pk", flat=True))
    for name, found in (
        ("third", keys[::3]),
        ("seldom", keys[::25]),
        ("last", keys[-max(rows // 33, 1) :]),
    ):
        Finding.objects.create(
            dataset=dataset,
            check_name=name,
            severity="info",
            message=name,
            count=len(found),
            examples=found,
        )
    checks.MAX_ROWS_IN_REQUEST = 0
    client = Client()
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    return client, f"/goals/{goal.pk}/dataset/", other.pk


def fill_dataset(dataset: Any, rows: int, owner: Any, other: Any) -> None:
    """Adds rows after those that are there, as if an import had.

    The first are made here, the others from them by the database, with a number at their end: that
    takes minutes instead of an hour.
    """
    from django.utils import timezone

    from finetune_app.datasets.models import Dataset, Example
    from finetune_app.datasets.services.locking import mark_changed, vacuum_after_commit

    there = dataset.last_number
    seed = list(first_rows(min(rows, SEED), dataset, owner, other))
    Example.objects.bulk_create(seed, batch_size=BATCH)
    for start in range(SEED, rows, SEED):
        copy(dataset.pk, there, start, min(SEED, rows - start))
    for number in range(rows // 20, rows, max(rows // 10, 1)):
        with_unicorn = dataset.examples.filter(number=there + number)
        with_unicorn.update(prompt="Where can one buy a unicorn?")
    Dataset.objects.filter(pk=dataset.pk).update(last_number=there + rows)
    mark_changed(Dataset.objects.get(pk=dataset.pk), checked_at=timezone.now())
    vacuum_after_commit()  # as an import does


def first_rows(rows: int, dataset: Any, owner: Any, other: Any) -> Iterator[Any]:
    from django.utils import timezone

    from finetune_app.datasets.models import Example
    from finetune_app.datasets.splits import hash_fraction, split_for

    for number, (prompt, answer) in enumerate(texts(rows), dataset.last_number + 1):
        one = Example(dataset=dataset, number=number, changed_by=owner, source="large.csv")
        one.set_messages(
            [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": answer},
            ]
        )
        one.split = split_for(hash_fraction(17, one.prompt_hash))
        one.status = "draft" if number % 10 == 3 else "approved"
        one.deleted_at = timezone.now() if number % 100 == 7 else None
        if number % 1000 == 500:
            one.assigned_to = one.changed_by = other
        yield one


def copy(dataset: int, there: int, start: int, rows: int) -> None:
    """Rows `there` + `start` + 1 and so on, from those after row `there`."""
    from django.db import connection

    from finetune_app.datasets.models import Example

    made = {
        "number": f"number + {start}",
        "prompt": f"prompt || ' ' || CAST(number + {start} AS text)",
        "prompt_hash": f"substr(prompt_hash, 1, 20) || CAST(number + {start} AS text)",
    }
    columns = [
        f.column for f in Example._meta.concrete_fields if not (f.primary_key or f.generated)
    ]
    quoted = [f'"{name}"' for name in columns]
    chosen = [made.get(name, f'"{name}"') for name in columns]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO datasets_example ({', '.join(quoted)}) SELECT {', '.join(chosen)} "
            f"FROM datasets_example WHERE dataset_id = {dataset} "
            f"AND number > {there} AND number <= {there + rows} ORDER BY number"
        )


if __name__ == "__main__":
    main()

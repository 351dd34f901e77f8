"""Response times of the labelling pages with a large dataset.

    python -m benchmarks.labelling [rows]

Every row is pending and every tenth is assigned: pages at the start, middle and end of the queue,
answers, undo. Prints milliseconds, median and p95. Its data folder is deleted afterwards.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
TIMES = 30


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "finetune_app.settings"}
        import django

        django.setup()
        _measure()


def _measure() -> None:
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.urls import reverse

    settings.ALLOWED_HOSTS = ["*"]
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    call_command("migrate", verbosity=0)
    goal, user, dataset = _fill()
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")

    def url(name: str, **ids: int) -> str:
        return reverse(f"labelling:{name}", kwargs={"goal_id": goal.pk} | ids)

    def answer(number: int) -> None:
        row = dataset.examples.get(number=number)
        form = {"seen": row.changed_at.isoformat(), "do": "save", "answer": "bell"}
        assert client.post(url("row", number=number), form).status_code == 302

    def page(address: str) -> Callable[[int], None]:
        return lambda _turn: _ok(client.get(address, follow=True))

    numbers = iter(range(ROWS // 2, ROWS // 2 + 5 * TIMES))
    print(f"{connection.vendor}, {ROWS:,} rows to do; milliseconds, median and p95 of {TIMES}")
    for what, do in (
        ("the first row", page(url("start"))),
        ("a row in the middle", page(url("row", number=ROWS // 2))),
        ("the last row", page(url("row", number=ROWS))),
        ("only mine", page(url("start") + "?whose=mine")),
        ("done", page(url("start") + "?queue=done")),
        ("answer one", lambda _turn: answer(next(numbers))),
        ("undo one", lambda _turn: _ok(client.post(url("undo_last")), 302)),
    ):
        do(0)
        milliseconds = []
        for turn in range(TIMES):
            started_at = time.perf_counter()
            do(turn)
            milliseconds.append((time.perf_counter() - started_at) * 1000)
        p95 = statistics.quantiles(milliseconds, n=20)[-1]
        print(f"{what:24} {statistics.median(milliseconds):8.1f} {p95:8.1f}")
    connection.close()


def _fill():  # type: ignore[no-untyped-def]
    from finetune_app.accounts.models import Membership, Role, Team, User
    from finetune_app.datasets.models import Dataset, Example, Status
    from finetune_app.goals.models import Goal

    team = Team.objects.create(name="Kettle Lane Cycles")
    user = User.objects.create_user("mara@kettle.example", name="Mara")
    Membership.objects.create(team=team, user=user, role=Role.OWNER)
    goal = Goal.objects.create(team=team, name="Sort shop emails", created_by=user)
    dataset = Dataset.objects.create(goal=goal, last_number=ROWS)
    for start in range(1, ROWS + 1, 5_000):
        examples = []
        for number in range(start, min(start + 5_000, ROWS + 1)):
            row = Example(
                dataset=dataset,
                number=number,
                status=Status.PENDING,
                assigned_to=user if number % 10 == 0 else None,
            )
            row.set_messages(
                [
                    {
                        "role": "user",
                        "content": f"Mail {number}: is my bike ready? " + "Thanks. " * 30,
                    },
                    {"role": "assistant", "content": ""},
                ]
            )
            examples.append(row)
        Example.objects.bulk_create(examples)
    return goal, user, dataset


def _ok(response, status: int = 200) -> None:  # type: ignore[no-untyped-def]
    assert response.status_code == status, response.status_code


if __name__ == "__main__":
    main()

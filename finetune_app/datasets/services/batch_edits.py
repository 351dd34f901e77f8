"""Running an edit that may be large, step by step.

The edit's `todo` holds what is not done yet. Up to MAX_ROWS_IN_REQUEST rows change in the request,
in one transaction. More rows change in a job, each step in a transaction of its own: memory is
bounded, others can write in between, and a worker that dies is followed by one that continues. An
edit that cannot be completed is undone (change_jobs.py). Modules that start such edits register
their steps with `batch_step`: bulk_edits, undoing, checks.fixes.
"""

from collections.abc import Callable
from typing import Any

from django.db import transaction

from finetune_app.accounts.models import User
from finetune_app.datasets.models import Dataset, Edit
from finetune_app.datasets.services.locking import lock
from finetune_app.jobs import services as jobs

MAX_ROWS_IN_REQUEST = 10_000  # a few seconds
PROGRESS_KEYS = ("next", "last", "numbers", "changed")  # of a todo: they change with every step

BatchStep = Callable[[Edit, Dataset], None]
BATCH_STEPS: dict[str, BatchStep] = {}  # by the "do" of a todo


def batch_step(name: str) -> Callable[[BatchStep], BatchStep]:
    """Register a function that does the next step of an edit and puts the rest into edit.todo."""

    def mark(function: BatchStep) -> BatchStep:
        BATCH_STEPS[name] = function
        return function

    return mark


def begin(
    *, dataset: Dataset, by: User | None, what: str, todo: dict[str, Any], rows: int, **more: Any
) -> Edit:
    """Create an edit of about `rows` rows, and run it or queue its job. A second click returns
    the edit that the first one started."""
    with transaction.atomic():
        lock(dataset)
        begun = _begun_already(dataset, by, todo) if rows > MAX_ROWS_IN_REQUEST else None
        edit = begun or Edit.objects.create(
            dataset=dataset, by=by, what=what[:120], todo=todo, **more
        )
    return edit if begun else run(edit, rows)


def _begun_already(dataset: Dataset, by: User | None, todo: dict[str, Any]) -> Edit | None:
    wanted = {name: value for name, value in todo.items() if name not in PROGRESS_KEYS}
    for edit in dataset.edits.exclude(todo={}).filter(by=by, undone_at=None)[:20]:
        if wanted.items() <= edit.todo.items():
            return edit
    return None


def run(edit: Edit, rows: int) -> Edit:
    if rows > MAX_ROWS_IN_REQUEST:
        return start_job(edit)
    with transaction.atomic():
        return run_to_end(edit)


def start_job(edit: Edit) -> Edit:
    """Queue a job for what is left, unless one is active."""
    with transaction.atomic():
        edit = Edit.objects.select_for_update().get(pk=edit.pk)
        if edit.todo and not (edit.job and edit.job.is_active):
            edit.job = jobs.create(
                team=edit.dataset.goal.team,
                kind="change",
                title=edit.what,
                spec={"edit": edit.pk},
            )
            edit.save(update_fields=["job"])
    return edit


def run_to_end(edit: Edit) -> Edit:
    while edit.todo:
        edit = run_next_step(edit)
    return edit


def run_next_step(edit: Edit, guard: Callable[[], None] = lambda: None) -> Edit:
    """One step in one transaction. `guard` is called first and may raise."""
    with transaction.atomic():
        guard()
        dataset = lock(edit.dataset)
        edit = Edit.objects.select_for_update().get(pk=edit.pk)
        if edit.todo:
            BATCH_STEPS[edit.todo["do"]](edit, dataset)
            edit.save(update_fields=["what", "todo", "count", "left"])
    return edit


def fraction_done(edit: Edit) -> float:
    """How much is done, 0 to 1."""
    todo = edit.todo
    return min(1.0, todo["next"] / todo["last"]) if todo and todo.get("last") else 1.0

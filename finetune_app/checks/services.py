"""Runs the checks of a dataset and stores their findings.

Scans of single rows (row_scan.py) are cached (row_check_cache.py), so an edit only costs a scan of
the rows it changed. A dataset of up to MAX_ROWS_IN_REQUEST rows is checked in the request after
each edit; a larger one, and whatever needs a heavy library, by a job (jobs.py).
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.checks import row_check_cache, statistics, token_limit_lookup
from finetune_app.checks.models import Finding, Severity
from finetune_app.checks.near_duplicate_search import find_near_duplicates
from finetune_app.checks.rules import run_rules
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow
from finetune_app.datasets.models import Dataset, Example, Label
from finetune_app.datasets.services.locking import lock
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job

MAX_ROWS_IN_REQUEST = 5_000  # a larger dataset is only checked by a job
MAX_MARKED_EXAMPLES = 2_000  # examples of one finding whose spans are stored


class Reading(NamedTuple):
    """When the rows of a check were read, and when the dataset had last changed before that."""

    at: datetime
    changed_at: datetime


def read_now(dataset: Dataset) -> Reading:
    """Call it before the rows are read."""
    changed_at = Dataset.objects.values_list("changed_at", flat=True).get(pk=dataset.pk)
    return Reading(timezone.now(), changed_at)


def run_checks(dataset: Dataset) -> list[Finding]:
    """Check all rows now and replace the earlier findings."""
    reading = read_now(dataset)
    rows = usable_rows(dataset)
    limit = token_limit_lookup.token_limit_of(dataset.goal)
    scans = row_check_cache.scan_rows(dataset, rows, limit.key if limit else "")
    context = check_context(dataset, scans=scans, near_duplicates=find_near_duplicates(rows))
    return replace_findings(
        dataset, run_rules(rows, context), statistics.count(rows, context), reading
    )


def check_after_edit(dataset: Dataset) -> None:
    """Check the dataset unless it is large: its page then says that it has changed."""
    if not is_large(dataset):
        run_checks(dataset)


def usable_rows(dataset: Dataset) -> list[CheckRow]:
    values = dataset.examples.usable().order_by("number").values_list(*CheckRow._fields)
    return [CheckRow(*row) for row in values.iterator(2_000)]


def check_context(dataset: Dataset, **more: Any) -> CheckContext:
    """The context of the rules, from the goal and its labels."""
    goal = dataset.goal
    labelled_twice, disagreed = _labelled_twice(dataset)
    return CheckContext(
        goal.measure,
        goal.measure_settings,
        goal.trains,
        list(dataset.labels),
        token_limit=token_limit_lookup.token_limit_of(goal),
        disagreed=disagreed,
        labelled_twice=labelled_twice,
        **more,
    )


def replace_findings(
    dataset: Dataset,
    results: list[CheckResult],
    facts: statistics.CheckStatistics,
    reading: Reading,
) -> list[Finding]:
    """Replace the stored findings.

    Where the dataset changed since the rows were read, it stays unchecked. The times alone do not
    tell: a change that was made before the reading may have been committed after it.
    """
    findings = [
        Finding(
            dataset=dataset,
            check_name=result.check,
            severity=result.severity,
            count=result.count,
            examples=result.examples,
            groups=result.groups,
            message=result.message,
            why=result.why,
            spans={
                pk: result.spans[pk]
                for pk in result.examples[:MAX_MARKED_EXAMPLES]
                if pk in result.spans
            },
            fix=result.fix,
            fix_label=result.fix_label[:60],
        )
        for result in sorted(results, key=_by_severity_and_count)
    ]
    with transaction.atomic():
        locked = lock(dataset)  # one check at a time replaces the findings
        checked_at = reading.at
        if locked.changed_at != reading.changed_at:
            checked_at = min(checked_at, locked.changed_at - timedelta(microseconds=1))
        dataset.findings.all().delete()
        Finding.objects.bulk_create(findings)
        Dataset.objects.filter(pk=dataset.pk).update(checked_at=checked_at, facts=facts)
    dataset.checked_at, dataset.facts = checked_at, facts
    return findings


def is_large(dataset: Dataset) -> bool:
    """Whether the dataset is too large to be checked in a request."""
    return dataset.examples.usable()[MAX_ROWS_IN_REQUEST : MAX_ROWS_IN_REQUEST + 1].exists()


def is_stale(dataset: Dataset) -> bool:
    """Whether something changed since the last check."""
    return dataset.checked_at is None or dataset.checked_at < dataset.changed_at


def start_check(dataset: Dataset) -> Job:
    """Queue a thorough check, or return the one that is active."""
    with transaction.atomic():
        locked = lock(dataset)
        if locked.check_job and locked.check_job.is_active:
            return locked.check_job
        job = jobs.create(
            team=dataset.goal.team,
            kind="check",
            title=_("Check of the examples of “%s”") % dataset.goal.name[:60],
            spec={"dataset": dataset.pk},
        )
        Dataset.objects.filter(pk=dataset.pk).update(check_job=job)
    dataset.check_job = job
    return job


def check_all(dataset: Dataset) -> None:
    """The quick rules now, where the dataset is small enough, and a thorough check as a job."""
    check_after_edit(dataset)
    if dataset.examples.usable().exists():
        start_check(dataset)


def stop_check(dataset: Dataset) -> None:
    """Cancel the job; earlier findings stay."""
    if dataset.check_job and dataset.check_job.is_active:
        jobs.cancel(dataset.check_job)


def _labelled_twice(dataset: Dataset) -> tuple[int, list[int]]:
    """How many examples two people labelled, and the keys of those they labelled differently."""
    kept = Example.objects.kept().filter(dataset=dataset)
    answers: dict[int, set[str]] = {}
    people: dict[int, int] = {}
    labels = Label.objects.filter(example__in=kept).values_list("example_id", "answer")
    for pk, answer in labels.iterator(2_000):
        answers.setdefault(pk, set()).add(" ".join(answer.split()))
        people[pk] = people.get(pk, 0) + 1
    twice = [pk for pk, count in people.items() if count > 1]
    return len(twice), [pk for pk in twice if len(answers[pk]) > 1]


def _by_severity_and_count(result: CheckResult) -> tuple[int, int]:
    order = [Severity.ERROR, Severity.WARNING, Severity.INFO]
    return order.index(result.severity), -result.count

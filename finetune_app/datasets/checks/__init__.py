"""What is wrong with a dataset. Each check looks at the approved rows and returns Founds.

A check is a function `(rows, about) -> Iterator[Found]`; adding one means adding it to CHECKS.
What can be seen in one row by itself is gathered before (row_scan.py) and kept (cache.py), so that
an edit costs a look at the rows it changed. A set of up to AT_ONCE rows is checked whole after
each edit; a larger one, and what takes a heavy library, by a job (check_jobs.py).
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from finetune_app.datasets.checks import (
    amount,
    answers,
    cache,
    conflicts,
    content,
    duplicates,
    labels,
    leakage,
    lengths,
    statistics,
)
from finetune_app.datasets.checks.base import CheckContext, CheckResult, CheckRow
from finetune_app.datasets.models import Dataset, Example, Finding, Label, Severity

MAX_ROWS_IN_REQUEST = 5_000  # rows up to which every edit is followed by a check
MAX_MARKED_EXAMPLES = 2_000  # examples of one finding whose marked places are kept

CHECKS: tuple[Callable[[list[CheckRow], CheckContext], Iterator[CheckResult]], ...] = (
    answers.no_answer,
    answers.unknown_role,
    content.secrets,
    duplicates.same_twice,
    leakage.across,
    content.too_long,
    amount.too_few,
    amount.no_test,
    amount.small_test,
    amount.no_practice,
    conflicts.contradictions,
    answers.misses_measure,
    answers.blank_answer,
    answers.copied_answer,
    answers.no_question,
    answers.refusals,
    content.personal,
    content.broken,
    content.mixed_languages,
    content.toxic,
    content.instructions_on_some,
    labels.imbalance,
    labels.disagreement,
)


def run(dataset: Dataset) -> list[Finding]:
    """Look at everything again, here and now, and replace what was found before."""
    started = timezone.now()
    rows = rows_of(dataset)
    ruler = lengths.ruler_of(dataset.goal)
    seen = cache.scan_rows(dataset, rows, ruler.key if ruler else "")
    about = about_of(dataset, seen=seen, alike=leakage.look_alikes(rows))
    return replace(dataset, find(rows, about), statistics.count(rows, about), started)


def find(rows: list[CheckRow], about: CheckContext) -> list[CheckResult]:
    return [one for check in CHECKS for one in check(rows, about)] if rows else []


def rows_of(dataset: Dataset) -> list[CheckRow]:
    values = (
        dataset.examples.usable()
        .order_by("number")
        .values_list("pk", "number", "prompt", "answer", "split", "prompt_hash", "messages")
    )
    return [CheckRow(*one) for one in values.iterator(2_000)]


def about_of(dataset: Dataset, **more: Any) -> CheckContext:
    goal = dataset.goal
    twice, apart = _labelled_twice(dataset)
    return CheckContext(
        goal.measure,
        goal.measure_settings,
        goal.trains,
        list(dataset.labels),
        ruler=lengths.ruler_of(goal),
        disagreed=apart,
        labelled_twice=twice,
        **more,
    )


def replace(
    dataset: Dataset, found: list[CheckResult], counted: dict[str, Any], started: datetime
) -> list[Finding]:
    """Put new findings in the place of those before. `started`: when the rows were read."""
    findings = [
        Finding(
            dataset=dataset,
            check_name=one.check,
            severity=one.severity,
            count=one.count,
            examples=one.examples,
            groups=one.groups,
            message=one.message,
            why=one.why,
            spans={
                pk: one.spans[pk] for pk in one.examples[:MAX_MARKED_EXAMPLES] if pk in one.spans
            },
            fix=one.fix,
            fix_label=one.fix_label[:60],
        )
        for one in sorted(found, key=_weight)
    ]
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=dataset.pk)  # two checks at once take turns
        dataset.findings.all().delete()
        Finding.objects.bulk_create(findings)
        Dataset.objects.filter(pk=dataset.pk).update(checked_at=started, facts=counted)
    dataset.checked_at, dataset.facts = started, counted
    return findings


def after_edit(dataset: Dataset) -> None:
    """At once for a set of ordinary size; a large one says on its page that it changed since."""
    if not is_large(dataset):
        run(dataset)


def is_large(dataset: Dataset) -> bool:
    """Whether it takes a job to look at it."""
    return dataset.examples.usable()[MAX_ROWS_IN_REQUEST : MAX_ROWS_IN_REQUEST + 1].exists()


def stale(dataset: Dataset) -> bool:
    """Whether something changed since the last check."""
    return dataset.checked_at is None or dataset.checked_at < dataset.changed_at


def _labelled_twice(dataset: Dataset) -> tuple[int, list[int]]:
    """How many examples two people answered, and those they answered differently: also such as
    wait for somebody to settle them."""
    there = Example.objects.kept().filter(dataset=dataset)
    answers_of: dict[int, set[str]] = {}
    people: dict[int, int] = {}
    labelled = Label.objects.filter(example__in=there).values_list("example_id", "answer")
    for pk, answer in labelled.iterator(2_000):
        answers_of.setdefault(pk, set()).add(" ".join(answer.split()))
        people[pk] = people.get(pk, 0) + 1
    twice = [pk for pk, count in people.items() if count > 1]
    return len(twice), [pk for pk in twice if len(answers_of[pk]) > 1]


def _weight(one: CheckResult) -> tuple[int, int]:
    order = [Severity.ERROR, Severity.WARNING, Severity.INFO]
    return order.index(one.severity), -one.count

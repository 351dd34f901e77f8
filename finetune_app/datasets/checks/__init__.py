"""What is wrong with a dataset. Each check looks at the approved rows and returns Founds.

A check is a function `(rows, about) -> Iterator[Found]`; adding one means adding it to CHECKS.
"""

from collections.abc import Callable, Iterator

from django.db import transaction
from django.utils import timezone

from finetune_app.datasets.checks import amount, answers, leakage, repeats
from finetune_app.datasets.checks.base import About, Found, Row
from finetune_app.datasets.models import Dataset, Finding, Severity

AT_ONCE = 5_000  # rows up to which every edit is followed by a check
SHOWN = 2_000  # examples of one finding that the table can show

CHECKS: tuple[Callable[[list[Row], About], Iterator[Found]], ...] = (
    answers.no_answer,
    answers.unknown_role,
    repeats.same_twice,
    leakage.across,
    amount.too_few,
    amount.no_test,
    amount.small_test,
    amount.no_practice,
    answers.misses_measure,
)


def run(dataset: Dataset) -> list[Finding]:
    """Look at everything again and replace what was found before."""
    started = timezone.now()
    usable = dataset.examples.usable().order_by("number")
    rows = [
        Row(*values)
        for values in usable.values_list(
            "pk", "number", "prompt", "answer", "split", "prompt_hash", "messages"
        ).iterator(2_000)
    ]
    goal = dataset.goal
    about = About(goal.measure, goal.measure_settings, goal.trains)
    found = [one for check in CHECKS for one in check(rows, about)] if rows else []
    findings = [
        Finding(
            dataset=dataset, check_name=one.check, severity=one.severity, count=one.count,
            examples=one.examples[:SHOWN], message=one.message, why=one.why, fix=one.fix,
            fix_label=one.fix_label,
        )
        for one in sorted(found, key=_weight)
    ]
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=dataset.pk)  # two checks at once take turns
        dataset.findings.all().delete()
        Finding.objects.bulk_create(findings)
        Dataset.objects.filter(pk=dataset.pk).update(checked_at=started)
    dataset.checked_at = started
    return findings


def after_edit(dataset: Dataset) -> None:
    """At once for a set of ordinary size; a large one says on its page that it changed since."""
    if dataset.examples.usable().count() <= AT_ONCE:
        run(dataset)


def stale(dataset: Dataset) -> bool:
    """Whether something changed since the last check."""
    return dataset.checked_at is None or dataset.checked_at < dataset.changed_at


def _weight(one: Found) -> tuple[int, int]:
    order = [Severity.ERROR, Severity.WARNING, Severity.INFO]
    return order.index(one.severity), -one.count

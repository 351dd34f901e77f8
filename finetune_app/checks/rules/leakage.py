"""Rules about the same, or nearly the same, question in two splits."""

from collections import defaultdict
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import (
    CheckContext,
    CheckResult,
    CheckRow,
    grouped,
)
from finetune_app.datasets import splits
from finetune_app.datasets.models import Split


def groups_across(alike: list[list[CheckRow]], total: int) -> list[list[CheckRow]]:
    """The groups with (nearly) the same question whose rows are in more than one split.

    Groups too large to be kept in one split (they share an instruction, say) are regrouped by
    exactly the same question.
    """
    groups: list[list[CheckRow]] = []
    for group in alike:
        if not splits.is_too_big(len(group), total):
            groups.append(group)
            continue
        same: dict[str, list[CheckRow]] = defaultdict(list)
        for row in group:
            same[row.prompt_hash].append(row)
        groups += same.values()
    return [group for group in groups if len({row.split for row in group}) > 1]


def leaked_prompts(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    groups = groups_across(context.near_duplicates.groups, len(rows))
    yield from _in_the_test(groups)
    yield from _in_practice(groups)


def _in_the_test(groups: list[list[CheckRow]]) -> Iterator[CheckResult]:
    leaking = [(group, [row for row in group if row.split == Split.TEST]) for group in groups]
    count = sum(len(tests) for _group, tests in leaking)
    if count:
        yield CheckResult(
            check="leakage",
            severity=Severity.ERROR,
            message=ngettext(
                "%(n)s test prompt is also, exactly or nearly, a training example",
                "%(n)s test prompts are also, exactly or nearly, training examples",
                count,
            )
            % {"n": count},
            why=_("It would pass those from memory, and the result would look better than it is."),
            examples=[row.pk for group, tests in leaking if tests for row in group],
            groups=grouped(group for group, tests in leaking if tests),
            fix="one_side",
            fix_label=_("Move %(n)s out") % {"n": count},
        )


def split_groups(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    """Rows that belong together, such as those of one customer, of which only some are tested."""
    together: dict[str, list[CheckRow]] = defaultdict(list)
    for row in rows:
        if row.group:
            together[row.group].append(row)
    leaking = [
        group
        for group in together.values()
        if Split.TEST in (found := {row.split for row in group}) and len(found) > 1
    ]
    count = sum(row.split == Split.TEST for group in leaking for row in group)
    if count:
        yield CheckResult(
            check="group_leakage",
            severity=Severity.ERROR,
            message=ngettext(
                "%(n)s test prompt belongs together with training examples",
                "%(n)s test prompts belong together with training examples",
                count,
            )
            % {"n": count},
            why=_(
                "Rows of one customer or document tell about each other, and the result would look "
                "better than it is."
            ),
            examples=[row.pk for group in leaking for row in group],
            groups=grouped(leaking),
            fix="one_side",
            fix_label=_("Move %(n)s out") % {"n": count},
        )


def _in_practice(groups: list[list[CheckRow]]) -> Iterator[CheckResult]:
    both = {Split.TRAIN, Split.VALIDATION}
    leaking = [group for group in groups if {row.split for row in group} == both]
    count = sum(row.split == Split.VALIDATION for group in leaking for row in group)
    if count:
        yield CheckResult(
            check="practice_leakage",
            severity=Severity.WARNING,
            message=ngettext(
                "%(n)s practice prompt is also, exactly or nearly, a training example",
                "%(n)s practice prompts are also, exactly or nearly, training examples",
                count,
            )
            % {"n": count},
            why=_(
                "Practice prompts show when to stop learning. They can only do so if they are "
                "new to the model."
            ),
            examples=[row.pk for group in leaking for row in group],
            groups=grouped(leaking),
            fix="one_side_practice",
            fix_label=_("Move %(n)s over") % {"n": count},
        )

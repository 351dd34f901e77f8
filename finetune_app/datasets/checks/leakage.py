"""The same question, or nearly the same, on two sides of the split."""

from collections import defaultdict
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.datasets import similar, splits
from finetune_app.datasets.checks.base import About, Found, Row
from finetune_app.datasets.models import Severity, Split
from finetune_app.datasets.text import asked, normalise

ALIKE = 0.8  # overlap from which two prompts count as the same


def groups_across(rows: list[Row]) -> list[list[Row]]:
    """Groups of rows with (nearly) the same question that stand on more than one side."""
    texts = [_text(row) for row in rows]
    if len(rows) <= similar.MOST_ROWS:
        leaders: list[int] | list[str] = similar.clusters(
            similar.without_shared_ends(texts), ALIKE
        )
    else:
        leaders = [row.prompt_hash for row in rows]
    groups: dict[object, list[Row]] = defaultdict(list)
    for leader, row in zip(leaders, rows, strict=True):
        groups[leader].append(row)
    # What has very many look-alikes was not kept on one side either (a shared instruction, say):
    # there only the very same question counts.
    for key in [key for key, group in groups.items() if splits.is_too_big(len(group), len(rows))]:
        for row in groups.pop(key):
            groups[row.prompt_hash].append(row)
    return [group for group in groups.values() if len({row.split for row in group}) > 1]


def _text(row: Row) -> str:
    turns = asked(row.messages)
    if len(turns) == 1:
        return normalise(row.prompt)[: similar.LONGEST]
    return "\n".join(text for _role, text in turns)[-similar.LONGEST :]


def across(rows: list[Row], about: About) -> Iterator[Found]:
    groups = groups_across(rows)
    yield from _in_the_test(groups)
    yield from _in_practice(groups)


def _in_the_test(groups: list[list[Row]]) -> Iterator[Found]:
    leaking = [(group, [row for row in group if row.split == Split.TEST]) for group in groups]
    count = sum(len(tests) for _group, tests in leaking)
    if count:
        yield Found(
            check="leakage",
            severity=Severity.ERROR,
            message=ngettext(
                "%(n)s test prompt is also, or nearly, in the part it learns from",
                "%(n)s test prompts are also, or nearly, in the part it learns from",
                count,
            ) % {"n": count},
            why=_("It would pass those from memory, and the result would look better than it is."),
            examples=[row.pk for group, tests in leaking if tests for row in group],
            fix="one_side",
            fix_label=_("Move %(n)s out") % {"n": count},
        )


def _in_practice(groups: list[list[Row]]) -> Iterator[Found]:
    both = {Split.TRAIN, Split.VALIDATION}
    leaking = [group for group in groups if {row.split for row in group} == both]
    count = sum(row.split == Split.VALIDATION for group in leaking for row in group)
    if count:
        yield Found(
            check="practice_leakage",
            severity=Severity.WARNING,
            message=ngettext(
                "%(n)s practice prompt is also, or nearly, in the part it learns from",
                "%(n)s practice prompts are also, or nearly, in the part it learns from",
                count,
            ) % {"n": count},
            why=_("Practice prompts tell when to stop learning. They can only do so when they are "
                  "new to the model."),
            examples=[row.pk for group in leaking for row in group],
            fix="one_side_practice",
            fix_label=_("Move %(n)s over") % {"n": count},
        )

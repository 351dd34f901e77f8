"""The rule about rare labels, where answers are from a closed set."""

from collections import Counter
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow
from finetune_app.datasets.label_sets import LabelLimits
from finetune_app.goals.measures import parse_fields

MAX_LABEL_CHARACTERS = 60  # characters
RARE_SHARE = 0.1  # of an even share
MIN_ROWS = 50
RARE_LABELS = LabelLimits(50, 5)  # of this check, and its chart


def closed_set(rows: list[CheckRow], context: CheckContext) -> Counter[str] | None:
    """The number of rows of each label; None when answers are free text."""
    counts: Counter[str] = Counter()
    for row in rows:
        answer = row.answer.strip()
        if not context.labels and (len(answer) > MAX_LABEL_CHARACTERS or "\n" in answer):
            return None
        counts[answer] += 1
        if not context.labels and len(counts) > RARE_LABELS.most:
            return None
    if context.labels:
        return Counter({label: counts.get(label, 0) for label in context.labels})
    return counts if RARE_LABELS.accept(len(counts), len(rows)) else None


def balance(
    rows: list[CheckRow], context: CheckContext
) -> tuple[str, Counter[str], dict[int, str]] | None:
    """(field name, rows of each label, label by pk), or None without a closed set.

    Labels are whole answers (the field name is ""), else the values of the first field of a
    structured answer that is a closed set.
    """
    whole = closed_set(rows, context)
    if whole is not None:
        return "", whole, {row.pk: row.answer.strip() for row in rows}
    return _by_field(rows)


def _by_field(rows: list[CheckRow]) -> tuple[str, Counter[str], dict[int, str]] | None:
    first = parse_fields(rows[0].answer) if rows else None
    open_names = [name for name, _value in first or []]
    values: dict[str, dict[int, str]] = {name: {} for name in open_names}
    different: dict[str, set[str]] = {name: set() for name in open_names}
    for row in rows:
        pairs = dict(parse_fields(row.answer) or []) if open_names else {}
        for name in list(open_names):
            value = pairs.get(name, "")
            values[name][row.pk] = value
            different[name].add(value)
            if len(value) > MAX_LABEL_CHARACTERS or len(different[name]) > RARE_LABELS.most:
                open_names.remove(name)
                del values[name]
    for name in open_names:
        counts = Counter(values[name].values())
        if RARE_LABELS.accept(len(counts), len(rows)):
            return name, counts, values[name]
    return None


def imbalance(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    found = balance(rows, context) if len(rows) >= MIN_ROWS and context.trains else None
    if found is None:
        return
    _name, counts, of = found
    least = RARE_SHARE * sum(counts.values()) / len(counts)
    rare = {label for label, count in counts.items() if count < least}
    if not rare:
        return
    label, count = min(((label, counts[label]) for label in rare), key=lambda one: one[1])
    message = ngettext(
        "“%(label)s” has only %(n)s example", "“%(label)s” has only %(n)s examples", count
    ) % {"label": label[:40] or _("no value"), "n": count}
    if len(rare) > 1:
        message += " " + ngettext(
            "(and %(n)s other answer is just as rare)",
            "(and %(n)s other answers are just as rare)",
            len(rare) - 1,
        ) % {"n": len(rare) - 1}
    yield CheckResult(
        check="imbalance",
        severity=Severity.WARNING,
        message=message,
        why=_(
            "What is hardly shown is hardly learned. Add examples of it, or take it out of the "
            "set of answers."
        ),
        examples=[pk for pk, own in of.items() if own in rare],
    )

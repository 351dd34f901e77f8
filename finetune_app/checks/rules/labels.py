"""Answers out of a closed set: which there are, and whether some are hardly shown."""

from collections import Counter
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow
from finetune_app.goals.measures import parse_fields

MOST_LABELS = 50
LONGEST_LABEL = 60  # characters
A_LABEL = 5  # rows for each label, on average, from which answers count as a closed set
RARE = 0.1  # of an even share
LEAST_ROWS = 50
AGREE = 0.7
LEAST_TWICE = 5  # rows that two people answered


def closed_set(rows: list[CheckRow], about: CheckContext) -> Counter[str] | None:
    """How often each label is the answer; None when answers are free text."""
    counts: Counter[str] = Counter()
    for row in rows:
        answer = row.answer.strip()
        if not about.labels and (len(answer) > LONGEST_LABEL or "\n" in answer):
            return None
        counts[answer] += 1
        if not about.labels and len(counts) > MOST_LABELS:
            return None
    if about.labels:
        return Counter({label: counts.get(label, 0) for label in about.labels})
    if len(counts) < 2 or len(rows) < A_LABEL * len(counts):
        return None
    return counts


def balance(
    rows: list[CheckRow], about: CheckContext
) -> tuple[str, Counter[str], dict[int, str]] | None:
    """(name of a field or "", how often each label stands there, pk -> label): of the whole
    answer, else of the first field of a structured one that is a closed set. None without one."""
    whole = closed_set(rows, about)
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
            if len(value) > LONGEST_LABEL or len(different[name]) > MOST_LABELS:
                open_names.remove(name)
                del values[name]
    for name in open_names:
        counts = Counter(values[name].values())
        if len(counts) >= 2 and len(rows) >= A_LABEL * len(counts):
            return name, counts, values[name]
    return None


def imbalance(rows: list[CheckRow], about: CheckContext) -> Iterator[CheckResult]:
    found = balance(rows, about) if len(rows) >= LEAST_ROWS and about.trains else None
    if found is None:
        return
    _name, counts, of = found
    least = RARE * sum(counts.values()) / len(counts)
    rare = {label for label, count in counts.items() if count < least}
    if not rare:
        return
    label, count = min(((label, counts[label]) for label in rare), key=lambda one: one[1])
    message = ngettext(
        "“%(label)s” has only %(n)s example", "“%(label)s” has only %(n)s examples", count
    ) % {"label": label[:40] or _("no value"), "n": count}
    if len(rare) > 1:
        message += " " + ngettext(
            "(and %(n)s more answer is as rare)",
            "(and %(n)s more answers are as rare)",
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


def disagreement(rows: list[CheckRow], about: CheckContext) -> Iterator[CheckResult]:
    """Two people who answered the same rows without seeing each other."""
    twice, apart = about.labelled_twice, len(about.disagreed)
    if twice >= LEAST_TWICE and twice - apart < AGREE * twice:
        yield CheckResult(
            check="disagreement",
            severity=Severity.WARNING,
            message=_("Two people disagree on %(n)s of %(all)s examples")
            % {"n": apart, "all": twice},
            why=_(
                "The model can’t do better than you do. Talk about what is right, write it into "
                "the guidelines, then decide these."
            ),
            examples=about.disagreed,
        )

"""The rule about one question with different answers."""

import json
from collections import defaultdict
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from rapidfuzz import fuzz

from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import CheckContext, CheckResult, CheckRow, grouped
from finetune_app.datasets.text import normalise

MIN_SIMILARITY = 0.5  # from which two free-text answers mean the same
MAX_EXACT_CHARACTERS = 40  # in answers up to this length every difference counts
MAX_GROUPS = 5_000


def contradictory(rows: list[CheckRow]) -> list[list[CheckRow]]:
    """Groups of rows with the same instructions and question but conflicting answers.

    Without training pairs: that one answer is better does not make another one wrong.
    """
    groups: dict[str, list[CheckRow]] = defaultdict(list)
    for row in rows:
        if not row.rejected:
            groups[row.prompt_hash].append(row)
    found: list[list[CheckRow]] = []
    for group in groups.values():
        if len(group) > 1:
            found += [one for one in _same_instructions(group) if _is_conflict(one)]
    return found


def _same_instructions(group: list[CheckRow]) -> Iterator[list[CheckRow]]:
    """Split a group by its instructions: different instructions justify different answers."""
    parts: dict[str, list[CheckRow]] = defaultdict(list)
    for row in group:
        system = "\n".join(normalise(m["content"]) for m in row.messages if m["role"] == "system")
        parts[system].append(row)
    return (part for part in parts.values() if len(part) > 1)


def _is_conflict(group: list[CheckRow]) -> bool:
    first = group[0].answer
    return any(not same_meaning(first, row.answer) for row in group[1:])


def same_meaning(one: str, other: str) -> bool:
    """Whether two answers can both be right. Short or structured ones have to be equal."""
    a, b = normalise(one), normalise(other)
    if a == b:
        return True
    if len(a) <= MAX_EXACT_CHARACTERS and len(b) <= MAX_EXACT_CHARACTERS:
        return False
    if a.startswith("{") and b.startswith("{"):
        try:
            return bool(json.loads(one) == json.loads(other))
        except (ValueError, RecursionError):
            return False
    return fuzz.ratio(a[:2_000], b[:2_000]) >= 100 * MIN_SIMILARITY


def contradictions(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    groups = contradictory(rows)
    if groups:
        yield CheckResult(
            check="contradictions",
            severity=Severity.WARNING,
            message=ngettext(
                "%(n)s question is asked again and answered differently",
                "%(n)s questions are asked again and answered differently",
                len(groups),
            )
            % {"n": len(groups)},
            why=_(
                "The model can only guess which one you want. Say which is right; the others "
                "are set aside."
            ),
            examples=[row.pk for group in groups for row in group],
            groups=grouped(groups[:MAX_GROUPS]),
        )

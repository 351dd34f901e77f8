"""The evidence for a finding: its rows side by side, with the detected spans marked."""

from dataclasses import dataclass, field
from typing import Any, TypedDict

from django.utils.translation import gettext_lazy as _

from finetune_app.checks.models import Finding
from finetune_app.checks.row_texts import row_texts
from finetune_app.datasets.models import Dataset, Example, Split

MAX_SHOWN = 5  # rows or groups of each finding
MAX_SHOWN_IN_GROUP = 4
CONTEXT_CHARACTERS = 90  # shown on each side of a marked span
NAMES = {
    "email": _("e-mail"),
    "phone": _("phone"),
    "card": _("card"),
    "iban": _("bank account"),
    "ip": _("internet address"),
    "ssn": _("identity number"),
    "password": _("password"),
    "api_key": _("key"),
    "private_key": _("private key"),
    "broken": _("broken"),
    "refusal": _("refusal"),
}
SIDE_BY_SIDE = ("contradictions", "leakage", "group_leakage", "practice_leakage")


class TextPart(TypedDict):
    """A part of a text; `what` names the marked data, and is "" between marked parts."""

    text: str
    what: str


@dataclass(frozen=True)
class MarkedExample:
    example: Example
    parts: list[TextPart]


@dataclass
class FindingEvidence:
    """One finding with some of its rows."""

    finding: Finding
    kind: str  # layout: choose, sides, groups, marked, rows
    groups: list[list[Example]] = field(default_factory=list)
    rows: list[Example] = field(default_factory=list)
    marked: list[MarkedExample] = field(default_factory=list)
    more: int = 0  # rows or groups that are not shown


def gather_evidence(dataset: Dataset, findings: list[Finding]) -> list[FindingEvidence]:
    """Read the rows of all findings in one query. Rows deleted since then are left out."""
    wanted: set[int] = set()
    for one in findings:
        wanted.update(one.examples[:MAX_SHOWN])
        wanted.update(pk for group in _groups(one) for pk in group)
    rows = dataset.examples.kept().in_bulk(sorted(wanted))
    return [_shown(one, rows) for one in findings]


def _groups(finding: Finding) -> list[list[int]]:
    return [group[:MAX_SHOWN_IN_GROUP] for group in finding.groups[:MAX_SHOWN]]


def _shown(finding: Finding, rows: dict[int, Example]) -> FindingEvidence:
    if finding.groups:
        groups = [[rows[pk] for pk in group if pk in rows] for group in _groups(finding)]
        groups = [group for group in groups if len(group) > 1]
        kind = "groups"
        if finding.check_name in SIDE_BY_SIDE:
            kind = "choose" if finding.check_name == "contradictions" else "sides"
            groups = [sorted(group, key=_test_first) for group in groups]
        return FindingEvidence(
            finding, kind, groups=groups, more=max(0, len(finding.groups) - MAX_SHOWN)
        )
    there = [rows[pk] for pk in finding.examples[:MAX_SHOWN] if pk in rows]
    more = max(0, finding.count - MAX_SHOWN)
    if finding.spans:
        marked = [
            MarkedExample(row, parts(row, finding.spans.get(str(row.pk), []))) for row in there
        ]
        return FindingEvidence(finding, "marked", marked=marked, more=more)
    return FindingEvidence(finding, "rows", rows=there, more=more)


def _test_first(row: Example) -> tuple[int, int]:
    order = [Split.TEST, Split.VALIDATION, Split.TRAIN]
    return order.index(Split(row.split)), row.number


def parts(row: Example, spans: list[list[Any]]) -> list[TextPart]:
    """The marked spans of a row with the text around them."""
    found: list[TextPart] = []
    for place, text in enumerate(row_texts(row.messages, row.rejected)):
        mine = sorted((start, end, what) for at, start, end, what in spans if at == place)
        last = 0
        for start, end, what in mine:
            before = text[last:start]
            if len(before) > 2 * CONTEXT_CHARACTERS:
                head = before[:CONTEXT_CHARACTERS] + " " if last else ""
                before = f"{head}… {before[-CONTEXT_CHARACTERS:]}"
            found += [{"text": before, "what": ""}, {"text": text[start:end][:300], "what": what}]
            last = end
        if mine:
            after = text[last:]
            found.append(
                {
                    "text": after
                    if len(after) <= CONTEXT_CHARACTERS
                    else f"{after[:CONTEXT_CHARACTERS]} …",
                    "what": "",
                }
            )
    for one in found:
        one["what"] = str(NAMES.get(one["what"], one["what"]))
    return [one for one in found if one["text"]]

"""Filters of the audit log, read from the query string, and its pages (keyset pagination)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from finetune_app.audit.models import AuditEntry, AuditEntryQuerySet
from finetune_app.core.audit import AuditAction
from finetune_app.core.requests import whole_number

PAGE_SIZE = 50


@dataclass(frozen=True)
class Filters:
    """Values of the query string. Unknown values are ignored."""

    person: int = 0
    action: str = ""
    before: int = 0  # the page starts after this line

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "Filters":
        action = query.get("action", "")
        return cls(
            person=whole_number(query.get("person")) or 0,
            action=action if action in AuditAction.values else "",
            before=whole_number(query.get("before")) or 0,
        )

    def query(self, **changes: Any) -> str:
        """The query string with some values changed. Starts at the first page unless `before` is
        given."""
        changed = replace(self, **({"before": 0} | changes))
        return "?" + urlencode({name: value for name, value in asdict(changed).items() if value})

    @property
    def narrowed(self) -> bool:
        return bool(self.person or self.action)

    def apply(self, lines: AuditEntryQuerySet) -> AuditEntryQuerySet:
        if self.person:
            lines = lines.filter(actor_id=self.person)
        if self.action:
            lines = lines.filter(action=self.action)
        return lines


@dataclass(frozen=True)
class Page:
    lines: list[AuditEntry]
    next: str  # query string of the next page, or ""


def page_of(lines: AuditEntryQuerySet, filters: Filters) -> Page:
    found = filters.apply(lines)
    if filters.before:
        found = found.filter(pk__lt=filters.before)
    rows = list(found.order_by("-pk")[: PAGE_SIZE + 1])
    more = filters.query(before=rows[PAGE_SIZE - 1].pk) if len(rows) > PAGE_SIZE else ""
    return Page(rows[:PAGE_SIZE], more)

"""Filters of the request list, read from the query string, and its pages (keyset pagination)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet

from finetune_app.deployment.models import Deployment
from finetune_app.request_log.feedback import bad_answers
from finetune_app.request_log.models import Feedback, Request
from finetune_app.request_log.retention import search_terms

PAGE_SIZE = 50
ANSWERED, FAILED, REFUSED = "answered", "failed", "refused"
UP, DOWN, NONE = "up", "down", "none"
BAD = "bad"  # not helpful or unsure, and not corrected yet
SLOW_SECONDS = (2, 5, 10, 30)  # choices on the page


@dataclass(frozen=True)
class Filters:
    """Values of the query string. Unknown values are ignored."""

    status: str = ""  # answered, failed, or refused (answered with “I can't”)
    key: int = 0
    version: int = 0  # number of the release
    thumbs: str = ""  # up, down, none, bad
    slow: int = 0  # at least so many seconds
    q: str = ""
    before: int = 0  # the page starts after this request

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> "Filters":
        def whole(name: str) -> int:
            text = query.get(name, "")
            return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0

        def one_of(name: str, *choices: str) -> str:
            return query.get(name, "") if query.get(name, "") in choices else ""

        return cls(
            status=one_of("status", ANSWERED, FAILED, REFUSED),
            thumbs=one_of("thumbs", UP, DOWN, NONE, BAD),
            q=query.get("q", "").replace("\x00", "").strip()[:200],
            **{name: whole(name) for name in ("key", "version", "slow", "before")},
        )

    def query(self, **changes: Any) -> str:
        """The query string with some values changed, such as "?status=failed&q=pump". Starts at
        the first page unless `before` is given."""
        changed = replace(self, **({"before": 0} | changes))
        return "?" + urlencode({name: value for name, value in asdict(changed).items() if value})

    @property
    def narrowed(self) -> bool:
        return replace(self, before=0) != Filters()


@dataclass(frozen=True)
class Page:
    requests: list[Request]
    next: str  # query string of the next page, or ""


def filtered(deployment: Deployment, filters: Filters) -> "QuerySet[Request]":
    found = deployment.requests.all()
    if filters.version:  # alone: the deployment's index would walk through all newer requests
        release = deployment.releases.filter(number=filters.version).first()
        found = release.requests.all() if release else found.none()
    found = found.select_related("key", "release", "transcript", "feedback").with_stored_response()
    if filters.status == REFUSED:
        found = found.filter(refused=True)
    elif filters.status == FAILED:
        found = found.filter(status__gte=400)
    elif filters.status:
        found = found.filter(status__lt=400)
    if filters.key:
        found = found.filter(key=filters.key)
    if filters.thumbs == NONE:
        found = found.filter(feedback=None)
    elif filters.thumbs == BAD:
        found = found.filter(pk__in=bad_answers(deployment).order_by().values("request"))
    elif filters.thumbs:
        rating = Feedback.UP if filters.thumbs == UP else Feedback.DOWN
        found = found.filter(feedback__rating=rating)
    if filters.slow:
        found = found.filter(seconds__gte=filters.slow)
    for term in search_terms(filters.q):
        found = found.filter(transcript__words__contains=term)
    if filters.q and not search_terms(filters.q):
        found = found.none()
    return found


def page_of(deployment: Deployment, filters: Filters) -> Page:
    found = filtered(deployment, filters)
    if filters.before:
        at = deployment.requests.filter(pk=filters.before).values_list("at", flat=True).first()
        if at is not None:
            found = found.filter(Q(at__lt=at) | Q(at=at, pk__lt=filters.before), at__lte=at)
    rows = list(found.order_by("-at", "-pk")[: PAGE_SIZE + 1])
    more = filters.query(before=rows[PAGE_SIZE - 1].pk) if len(rows) > PAGE_SIZE else ""
    return Page(rows[:PAGE_SIZE], more)

"""The list of requests: filters that live in the address, pages by keyset."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet

from finetune_app.deployment.models import Deployment, Feedback, Request
from finetune_app.deployment.monitoring.keeping import wanted_words

PAGE = 50
ANSWERED, FAILED, REFUSED = "answered", "failed", "refused"
UP, DOWN, NONE = "up", "down", "none"
SLOW = (2, 5, 10, 30)  # seconds that the page offers


@dataclass(frozen=True)
class Filters:
    """What the address says. Anything it does not know is left out."""

    status: str = ""  # answered, failed, or refused: answered, but with “I can't”
    key: int = 0
    version: int = 0  # its number
    thumbs: str = ""  # up, down, none
    slow: int = 0  # seconds and more
    q: str = ""
    before: int = 0  # the request that the page begins after

    @classmethod
    def read(cls, given: Mapping[str, str]) -> "Filters":
        def whole(name: str) -> int:
            text = given.get(name, "")
            return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0

        def one_of(name: str, *known: str) -> str:
            return given.get(name, "") if given.get(name, "") in known else ""

        return cls(
            status=one_of("status", ANSWERED, FAILED, REFUSED),
            thumbs=one_of("thumbs", UP, DOWN, NONE),
            q=given.get("q", "").replace("\x00", "").strip()[:200],
            **{name: whole(name) for name in ("key", "version", "slow", "before")},
        )

    def query(self, **changes: Any) -> str:
        """ "?status=failed&q=pump" with some of it changed; the place is left out unless named."""
        here = replace(self, **({"before": 0} | changes))
        given = {name: value for name, value in asdict(here).items() if value}
        return "?" + urlencode(given)

    @property
    def narrowed(self) -> bool:
        return replace(self, before=0) != Filters()


@dataclass(frozen=True)
class Page:
    requests: list[Request]
    next: str  # query of the next page, or ""


def rows(deployment: Deployment, filters: Filters) -> "QuerySet[Request]":
    found = deployment.requests.all()
    if filters.version:  # by itself: the deployment's own index leads through all that is newer
        release = deployment.releases.filter(number=filters.version).first()
        found = release.requests.all() if release else found.none()
    found = found.select_related("key", "release", "transcript", "feedback")
    if filters.status == REFUSED:
        found = found.filter(refused=True)
    elif filters.status:
        found = (
            found.filter(status__gte=400)
            if filters.status == FAILED
            else found.filter(status__lt=400)
        )
    if filters.key:
        found = found.filter(key=filters.key)
    if filters.thumbs == NONE:
        found = found.filter(feedback=None)
    elif filters.thumbs:
        rating = Feedback.UP if filters.thumbs == UP else Feedback.DOWN
        found = found.filter(feedback__rating=rating)
    if filters.slow:
        found = found.filter(seconds__gte=filters.slow)
    for word in wanted_words(filters.q):
        found = found.filter(transcript__words__contains=word)
    if filters.q and not wanted_words(filters.q):
        found = found.none()
    return found


def page_of(deployment: Deployment, filters: Filters) -> Page:
    found = rows(deployment, filters)
    if filters.before:
        at = deployment.requests.filter(pk=filters.before).values_list("at", flat=True).first()
        if at is not None:
            found = found.filter(Q(at__lt=at) | Q(at=at, pk__lt=filters.before), at__lte=at)
    some = list(found.order_by("-at", "-pk")[: PAGE + 1])
    more = filters.query(before=some[PAGE - 1].pk) if len(some) > PAGE else ""
    return Page(some[:PAGE], more)

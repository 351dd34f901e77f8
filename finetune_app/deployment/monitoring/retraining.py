"""Whether it is time to train again: what came to the dataset since its newest version."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils.translation import ngettext

from finetune_app.datasets.models import Example, Status
from finetune_app.deployment.models import Deployment
from finetune_app.versions.models import Version

ENOUGH = 20  # new examples from which training again is proposed


@dataclass(frozen=True)
class Fresh:
    """Approved examples that are new or changed since the newest version was frozen."""

    count: int
    version: int

    @property
    def enough(self) -> bool:
        return self.count >= ENOUGH

    @property
    def sentence(self) -> str:
        return ngettext(
            "%(n)s new example since version %(v)d.",
            "%(n)s new examples since version %(v)d.",
            self.count,
        ) % {"n": f"{self.count:,}", "v": self.version}


def live_among(goal_ids: Iterable[int]) -> set[int]:
    """Goals whose deployment answers."""
    live = Deployment.objects.filter(goal__in=goal_ids, paused_at=None)
    return set(live.values_list("goal", flat=True))


def since(versions: Iterable[Version]) -> dict[int, Fresh]:
    """By dataset, from the newest version of each. One query for all of them."""
    known = {version.dataset_id: version for version in versions}
    newer = Q()
    for version in known.values():
        newer |= Q(dataset=version.dataset_id, changed_at__gt=version.created_at)
    if not known:
        return {}
    rows = Example.objects.kept().filter(newer, status=Status.APPROVED).order_by()
    counted = rows.values_list("dataset").annotate(Count("pk"))
    return {pk: Fresh(count, known[pk].number) for pk, count in counted}

"""Counts the examples approved since the newest dataset version, to suggest a new training."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Q, Subquery
from django.utils.translation import ngettext

from finetune_app.datasets.models import Example, Status
from finetune_app.versions.models import Version

ENOUGH_EXAMPLES = 20  # new ones, from which training again is suggested


@dataclass(frozen=True)
class NewExamples:
    """Approved examples that are new or changed since the newest version was frozen."""

    count: int
    version: int  # its number

    @property
    def enough(self) -> bool:
        return self.count >= ENOUGH_EXAMPLES

    @property
    def sentence(self) -> str:
        return ngettext(
            "%(n)s new example since version %(v)d.",
            "%(n)s new examples since version %(v)d.",
            self.count,
        ) % {"n": f"{self.count:,}", "v": self.version}


def new_examples_since(versions: Iterable[Version]) -> dict[int, NewExamples]:
    """By dataset, since the newest of its versions. One query for all of them."""
    newest = {version.dataset_id: version for version in versions}
    newer = Q()
    for version in newest.values():
        newer |= Q(dataset=version.dataset_id, changed_at__gt=version.created_at)
    if not newest:
        return {}
    rows = Example.objects.kept().filter(newer, status=Status.APPROVED).order_by()
    counted = rows.values_list("dataset").annotate(Count("pk"))
    return {pk: NewExamples(count, newest[pk].number) for pk, count in counted}


def new_examples_of(goal_id: int) -> NewExamples | None:
    """Of one goal, in one query. None where it has none, or no version yet."""
    newest = Version.objects.filter(dataset__goal=goal_id).order_by("-number")
    frozen_at, number = (Subquery(newest.values(name)[:1]) for name in ("created_at", "number"))
    kept = Example.objects.kept().of_goal(goal_id)
    newer = kept.filter(status=Status.APPROVED, changed_at__gt=frozen_at)
    counted = newer.order_by().values("dataset").annotate(count=Count("pk"), version=number)
    found = counted.values_list("count", "version")
    return next((NewExamples(*one) for one in found), None)

"""How a dataset is labelled, and by whom: guidelines, the closed set, assignment."""

from collections.abc import Sequence

from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role, User
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Dataset, Example, ExampleQuerySet, Status

MOST_GUIDELINES = 20_000  # characters
SHARES = (0, 10, 20, 50, 100)  # percent of rows that two people answer


def save_guidelines(*, dataset: Dataset, text: str) -> None:
    text = text.replace("\x00", "")
    if len(text) > MOST_GUIDELINES:
        raise PlainError(
            _("Guidelines that nobody can read help nobody: keep them below %(n)s characters.")
            % {"n": f"{MOST_GUIDELINES:,}"},
            status=422,
        )
    Dataset.objects.filter(pk=dataset.pk).update(guidelines=text.strip())


def save_labels(*, dataset: Dataset, labels: Sequence[str]) -> None:
    """The closed set; empty: answers are free, and no set is offered again."""
    Dataset.objects.filter(pk=dataset.pk).update(labels=[*labels], offer_labels=False)


def save_share(*, dataset: Dataset, percent: int) -> None:
    if percent not in SHARES:
        raise PlainError(_("Choose one of the shares in the list."), status=422)
    if percent and len(editors_of(dataset)) < 2:
        raise PlainError(
            _("Two people are needed who may answer. Invite one on the team's page."), status=422
        )
    Dataset.objects.filter(pk=dataset.pk).update(twice_percent=percent)


def editors_of(dataset: Dataset) -> list[User]:
    """Who may answer rows, in the order in which they came to the team."""
    members = dataset.goal.team.memberships.filter(role__in=(Role.OWNER, Role.EDITOR))
    return [one.user for one in members.select_related("user").order_by("joined_at", "pk")]


def unassigned(dataset: Dataset) -> ExampleQuerySet:
    rows: ExampleQuerySet = dataset.examples.kept()
    return rows.filter(status=Status.PENDING, assigned_to=None)


def assign(*, dataset: Dataset, to: User, most: int) -> int:
    """Give somebody the next `most` rows that are nobody's; returns how many there were."""
    if to not in editors_of(dataset):
        raise PlainError(_("They cannot answer rows: their role lets them look only."), status=422)
    numbers = list(unassigned(dataset).order_by("number").values_list("number", flat=True)[:most])
    return _give(dataset, numbers, to)


def split_evenly(*, dataset: Dataset) -> int:
    """Everybody who may answer gets the same number of the rows that are nobody's, one after the
    other, so that a sorted file is not cut by its order."""
    people = editors_of(dataset)
    pks = list(unassigned(dataset).order_by("number").values_list("pk", flat=True))
    for at, person in enumerate(people):
        mine = pks[at :: len(people)]
        for start in range(0, len(mine), 500):
            Example.objects.filter(pk__in=mine[start : start + 500], assigned_to=None).update(
                assigned_to=person
            )
    return len(pks)


def take_back(*, dataset: Dataset, of: User) -> int:
    """What they have not answered is nobody's again."""
    rows = dataset.examples.filter(assigned_to=of, status=Status.PENDING)
    return rows.update(assigned_to=None)


def _give(dataset: Dataset, numbers: list[int], to: User) -> int:
    if not numbers:
        return 0
    within = unassigned(dataset).filter(number__range=(numbers[0], numbers[-1]))
    return within.update(assigned_to=to)

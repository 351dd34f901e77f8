"""How a dataset is labelled, and by whom: guidelines, class labels, assigned rows."""

from collections.abc import Sequence

from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role, User
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Dataset, Example, ExampleQuerySet, Status

MAX_GUIDELINE_CHARS = 20_000
SHARES_PERCENT = (0, 10, 20, 50, 100)  # of the rows that get two independent answers


def save_guidelines(*, dataset: Dataset, text: str) -> None:
    text = text.replace("\x00", "")
    if len(text) > MAX_GUIDELINE_CHARS:
        raise PlainError(
            _("Guidelines help only if they are read: keep them below %(n)s characters.")
            % {"n": f"{MAX_GUIDELINE_CHARS:,}"},
            status=422,
        )
    Dataset.objects.filter(pk=dataset.pk).update(guidelines=text.strip())


def save_labels(*, dataset: Dataset, labels: Sequence[str]) -> None:
    """Set the class labels. An empty list means free text; labels are not offered again."""
    Dataset.objects.filter(pk=dataset.pk).update(labels=[*labels], offer_labels=False)


def save_share(*, dataset: Dataset, percent: int) -> None:
    if percent not in SHARES_PERCENT:
        raise PlainError(_("Choose one of the shares in the list."), status=422)
    if percent and len(editors_of(dataset)) < 2:
        raise PlainError(
            _("This needs two people who can answer. Invite one on the team page."), status=422
        )
    Dataset.objects.filter(pk=dataset.pk).update(twice_percent=percent)


def editors_of(dataset: Dataset) -> list[User]:
    """The members who may label rows, in the order in which they joined the team."""
    members = dataset.goal.team.memberships.filter(role__in=(Role.OWNER, Role.EDITOR))
    return [one.user for one in members.select_related("user").order_by("joined_at", "pk")]


def unassigned_rows(dataset: Dataset) -> ExampleQuerySet:
    rows: ExampleQuerySet = dataset.examples.kept()
    return rows.filter(status=Status.PENDING, assigned_to=None)


def assign_rows(*, dataset: Dataset, to: User, limit: int) -> int:
    """Assign the next unassigned rows to a user, and return their number.

    Raises PlainError when the user may not label rows.
    """
    if to not in editors_of(dataset):
        raise PlainError(
            _("They cannot answer rows: their role only allows them to look."), status=422
        )
    numbers = list(
        unassigned_rows(dataset).order_by("number").values_list("number", flat=True)[:limit]
    )
    if not numbers:
        return 0
    within = unassigned_rows(dataset).filter(number__range=(numbers[0], numbers[-1]))
    return within.update(assigned_to=to)


def split_evenly(*, dataset: Dataset) -> int:
    """Distribute the unassigned rows over all editors in turn, and return their number.

    In turn rather than in blocks, so that each gets a fair sample of a sorted file.
    """
    people = editors_of(dataset)
    pks = list(unassigned_rows(dataset).order_by("number").values_list("pk", flat=True))
    for at, person in enumerate(people):
        mine = pks[at :: len(people)]
        for start in range(0, len(mine), 500):
            Example.objects.filter(pk__in=mine[start : start + 500], assigned_to=None).update(
                assigned_to=person
            )
    return len(pks)


def unassign_rows(*, dataset: Dataset, of: User) -> int:
    """Make the rows that the user has not answered unassigned, and return their number."""
    rows = dataset.examples.filter(assigned_to=of, status=Status.PENDING)
    return rows.update(assigned_to=None)

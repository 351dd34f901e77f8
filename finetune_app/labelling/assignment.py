"""How a dataset is labelled, and by whom: guidelines, class labels, assigned rows."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role, User
from finetune_app.core.errors import PlainError
from finetune_app.core.storable_text import storable
from finetune_app.datasets.models import Dataset, Example, ExampleQuerySet, Label, Status
from finetune_app.datasets.services.editing import change_many
from finetune_app.datasets.services.locking import lock
from finetune_app.datasets.text import with_answer
from finetune_app.labelling.queues import needs_two_answers

MAX_GUIDELINE_CHARS = 20_000
SHARES_PERCENT = (0, 10, 20, 50, 100)  # of the rows that get two independent answers


def save_guidelines(*, dataset: Dataset, text: str) -> None:
    text = storable(text)
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
    """Set the share of rows that two people answer.

    Rows that need no second answer anymore take the first one. Raises PlainError.
    """
    if percent not in SHARES_PERCENT:
        raise PlainError(_("Choose one of the shares in the list."), status=422)
    if percent and len(editors_of(dataset)) < 2:
        raise PlainError(
            _("This needs two people who can answer. Invite one on the team page."), status=422
        )
    with transaction.atomic():
        locked = lock(dataset)
        locked.twice_percent = percent
        locked.save(update_fields=["twice_percent"])
        _take_first_answers(locked)


def _take_first_answers(dataset: Dataset) -> None:
    """Approve the rows that have one answer and no longer need two.

    The edit is by nobody, since the answers are not of the person who changed the share.
    """
    labels: dict[int, list[Label]] = defaultdict(list)
    waiting = dataset.examples.kept().filter(status=Status.PENDING)
    for label in Label.objects.filter(example__in=waiting).select_related("example"):
        label.example.dataset = dataset
        labels[label.example_id].append(label)
    firsts = {
        pk: given[0]
        for pk, given in labels.items()
        if len(given) == 1 and not needs_two_answers(given[0].example)
    }
    if not firsts:
        return

    def approved(row: Example) -> dict[str, Any]:
        answer = firsts[row.pk].answer
        rejected = "" if answer.strip() == row.rejected.strip() else row.rejected
        messages = with_answer(row.messages, answer)
        return {"messages": messages, "rejected": rejected, "status": str(Status.APPROVED)}

    change_many(
        dataset=dataset,
        by=None,
        what=_("One answer is enough now: the first one counts"),
        examples=[label.example for label in firsts.values()],
        fields=approved,
    )


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


def release_rows(*, team_id: int, user_id: int) -> None:
    """Unassign the rows of an editor who left; where only one is left, no row needs two answers."""
    for dataset in Dataset.objects.filter(goal__team=team_id):
        _assigned_rows(dataset, user_id).update(assigned_to=None)
        if dataset.twice_percent and len(editors_of(dataset)) < 2:
            save_share(dataset=dataset, percent=0)


def unassign_rows(*, dataset: Dataset, of: User) -> int:
    """Make the rows that the user has not answered unassigned, and return their number."""
    return _assigned_rows(dataset, of.pk).update(assigned_to=None)


def _assigned_rows(dataset: Dataset, user_id: int) -> ExampleQuerySet:
    rows: ExampleQuerySet = dataset.examples.filter(assigned_to=user_id, status=Status.PENDING)
    return rows

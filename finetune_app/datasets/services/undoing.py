"""Undo: put back what an edit changed. Itself an Edit, so it can be undone too."""

from collections.abc import Iterator

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Change, Edit, Example
from finetune_app.datasets.services import sweeping
from finetune_app.datasets.services.editing import change_many, stamp, state_of
from finetune_app.datasets.services.ground import lock, touch

AT_ONCE = 2_000  # changes in one transaction
STAMPED = 5_000  # rows that only go or come back


def undo(*, edit: Edit, by: User | None) -> tuple[Edit, int]:
    """The edit that puts back what `edit` did, and how many examples somebody changed since:
    those are left alone. Of a sweep over very many, some may be left `todo`."""
    with transaction.atomic():
        lock(edit.dataset)
        fresh = Edit.objects.filter(pk=edit.pk, undone_at=None)
        once = fresh.update(undone_at=timezone.now(), todo={})
        if not once:
            raise PlainError(_("This change is undone already."), status=409)
        what = (_("Undid: %s") % edit.what)[:120]
        back = Edit.objects.create(
            dataset=edit.dataset, by=by, what=what, brought=edit.brought, undoes=edit,
            takes_out=bool(edit.brought_id) and not edit.takes_out,
        )
        if not edit.brought_id:
            left = _put_back(edit, back)
    if not edit.brought_id:
        back = sweeping.take_back(edit=edit, back=back)
        return back, left + back.left
    # An import may be large: in short transactions, so that others can write meanwhile. What is
    # interrupted half way is an edit like any other, and can be undone.
    left = _put_back(edit, back)
    _stamp_all(_came_by(edit), back, away=True)
    _stamp_all(_went_by(edit), back, away=False)
    touch(edit.dataset)
    return back, left


def _put_back(edit: Edit, back: Edit) -> int:
    left = 0
    for changes in _in_turn(edit.changes.select_related("example")):
        standing = [change for change in changes if _stands(change)]
        left += len(changes) - len(standing)
        _reverse(standing, back)
    return left


def _stands(change: Change) -> bool:
    """Whether nobody has changed since what it changed."""
    current = state_of(change.example, change.after)
    return all(current[key] == value for key, value in change.after.items())


def _reverse(changes: list[Change], back: Edit) -> None:
    before = {change.example_id: change.before for change in changes}
    change_many(
        dataset=back.dataset, by=back.by, what="", edit=back,
        examples=[change.example for change in changes],
        fields=lambda example: before[example.pk],
    )


def _came_by(edit: Edit) -> QuerySet[Example]:
    """Rows that an import brought, or that the undo of one took out of the trash again."""
    rows = edit.dataset.examples.kept()
    if edit.takes_out:
        return rows.filter(changed_at=edit.at).exclude(brought_by=edit.brought_id)
    return rows.filter(brought_by=edit.brought_id)


def _went_by(edit: Edit) -> QuerySet[Example]:
    """Rows that it put into the trash, and nobody has touched since: they carry its time."""
    return edit.dataset.examples.filter(deleted_at=edit.at)


def _stamp_all(rows: QuerySet[Example], back: Edit, *, away: bool) -> None:
    at, keys = 0, rows.order_by("pk").values_list("pk", flat=True)
    while some := list(keys.filter(pk__gt=at)[:STAMPED]):
        at = some[-1]
        with transaction.atomic():
            stamp(some, back, away=away)


def _in_turn(changes: QuerySet[Change]) -> Iterator[list[Change]]:
    at = 0
    while some := list(changes.filter(pk__gt=at).order_by("pk")[:AT_ONCE]):
        at = some[-1].pk
        yield some

"""The actions on many examples at once, with their page texts."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team, User
from finetune_app.datasets.models import Split, Status


@dataclass(frozen=True)
class BulkAction:
    name: str  # value in the form
    label: str  # in the menu
    ask: str  # the question before it, with %(n)s for the examples
    message: str  # the message afterwards
    verb: str  # on the button
    after: dict[str, Any]  # the new values, as in a Change
    note: str = ""


def bulk_actions(members: Iterable[User], *, trash: bool) -> list[BulkAction]:
    """The available actions, in the order of the menu. Examples may be assigned to `members`."""
    if trash:
        return [
            BulkAction(
                "restore",
                _("restore from the trash"),
                _("Restore %(n)s from the trash?"),
                _("Restored %(n)s from the trash"),
                _("Restore"),
                {"deleted": False},
            )
        ]
    return [
        BulkAction(
            "approve",
            _("approve"),
            _("Approve %(n)s?"),
            _("Approved %(n)s"),
            _("Approve"),
            {"status": str(Status.APPROVED)},
            _("Examples without an answer stay as they are."),
        ),
        BulkAction(
            "set_aside",
            _("set aside"),
            _("Set %(n)s aside?"),
            _("Set %(n)s aside"),
            _("Set aside"),
            {"status": str(Status.SET_ASIDE)},
            _("They stay here, but versions leave them out."),
        ),
        BulkAction(
            "draft",
            _("back to draft"),
            _("Make %(n)s drafts again?"),
            _("Made %(n)s drafts again"),
            _("Back to draft"),
            {"status": str(Status.DRAFT)},
            _("Versions leave drafts out."),
        ),
        *(_move(split) for split in Split),
        *(_assign(user) for user in members),
        BulkAction(
            "assign-nobody",
            _("assign to nobody"),
            _("Assign %(n)s to nobody?"),
            _("Assigned %(n)s to nobody"),
            _("Assign"),
            {"assigned_to": None},
        ),
        BulkAction(
            "delete",
            _("delete"),
            _("Move %(n)s to the trash?"),
            _("Moved %(n)s to the trash"),
            _("Move to the trash"),
            {"deleted": True},
            _("They stay in the trash until somebody empties it."),
        ),
    ]


def team_members(team: Team) -> list[User]:
    return list(team.members.order_by("name", "pk"))


def _move(split: Split) -> BulkAction:
    word = {"word": _("the test") if split == Split.TEST else split.label}
    note = {
        Split.TEST: _("A test is too easy if the model has learned from it already."),
        Split.TRAIN: _("A model cannot be tested on what it has learned from."),
    }
    return BulkAction(
        f"split-{split.value}",
        _("use for %(word)s") % word,
        _("Use %%(n)s for %(word)s?") % word,
        _("Moved %%(n)s to %(word)s") % word,
        _("Move"),
        {"split": str(split)},
        note.get(split, ""),
    )


def _assign(user: User) -> BulkAction:
    who = {"who": str(user).replace("%", "%%")}
    return BulkAction(
        f"assign-{user.pk}",
        _("assign to %(who)s") % {"who": user},
        _("Assign %%(n)s to %(who)s?") % who,
        _("Assigned %%(n)s to %(who)s") % who,
        _("Assign"),
        {"assigned_to": user.pk},
    )

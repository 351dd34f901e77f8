"""Teams, their members and roles. A team always has an owner."""

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.events import editor_left
from finetune_app.accounts.models import Invitation, JobPriority, Membership, Role, Team, User
from finetune_app.core.errors import PlainError


@transaction.atomic
def make_team(*, owner: User, name: str) -> Team:
    team = Team.objects.create(name=name.strip())
    Membership.objects.create(team=team, user=owner, role=Role.OWNER)
    return team


def rename_team(*, team: Team, name: str) -> None:
    Team.objects.filter(pk=team.pk).update(name=name.strip())


def set_job_priority(*, team: Team, priority: JobPriority) -> None:
    Team.objects.filter(pk=team.pk).update(job_priority=priority)


@transaction.atomic
def delete_team(*, team: Team) -> None:
    """Deletes rows by cascade; each room then deletes the files of its rows.

    Goals first: their trainings protect the base models that the team installed.
    """
    team.goals.all().delete()
    team.delete()


@transaction.atomic
def change_role(*, membership: Membership, role: Role) -> None:
    lock(membership.team_id)
    membership.refresh_from_db(fields=["role"])
    if membership.role == Role.OWNER and role != Role.OWNER:
        _require_another_owner(membership)
        _withdraw_invitations(membership)
    Membership.objects.filter(pk=membership.pk).update(role=role)
    if role == Role.VIEWER:
        tell_editor_left(membership.team_id, membership.user_id)


@transaction.atomic
def remove_member(*, membership: Membership) -> None:
    """Remove a member, or leave. Their open invitations are withdrawn: no way back in."""
    lock(membership.team_id)
    membership.refresh_from_db(fields=["role"])
    if membership.role == Role.OWNER:
        _require_another_owner(membership)
    _withdraw_invitations(membership)
    membership.delete()
    tell_editor_left(membership.team_id, membership.user_id)


def tell_editor_left(team_id: int, user_id: int) -> None:
    editor_left.send(Membership, team_id=team_id, user_id=user_id)


def lock(team_id: int) -> None:
    """Serialise changes of roles, so that two owners cannot demote each other at once."""
    Team.objects.select_for_update().filter(pk=team_id).first()


def _require_another_owner(membership: Membership) -> None:
    others = Membership.objects.owners().filter(team=membership.team_id).exclude(pk=membership.pk)
    if not others.exists():
        raise PlainError(
            _("A team needs an owner. Make somebody else an owner first."),
            status=409,
            title=_("This is the team's only owner"),
        )


def only_owner_of_others(membership: Membership) -> bool:
    others = Membership.objects.filter(team=membership.team_id).exclude(pk=membership.pk)
    return others.exists() and not others.owners().exists()


def _withdraw_invitations(membership: Membership) -> None:
    usable = Invitation.objects.usable()
    usable.filter(team=membership.team_id, created_by=membership.user_id).delete()

"""Accounts: creation, passwords and deletion."""

from allauth.socialaccount.models import SocialAccount
from axes.utils import reset as reset_tries
from django.contrib.auth import authenticate
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Invitation, Membership, Team, User
from finetune_app.accounts.services.teams import (
    delete_team,
    lock,
    only_owner_of_others,
    tell_editor_left,
)
from finetune_app.core.errors import PlainError


def make_account(*, email: str, name: str, password: str) -> User:
    try:
        with transaction.atomic():
            return User.objects.create_user(email, password, name=name)
    except IntegrityError as error:
        raise PlainError(
            _("There is an account with this e-mail address already. Sign in with it."), status=409
        ) from error


def change_password(*, user: User, password: str) -> None:
    """Ends every session of the user, since sessions carry a hash of the old password."""
    user.set_password(password)
    user.save(update_fields=["password"])


def change_profile(*, user: User, name: str, email: str) -> None:
    user.name, user.email = name, email
    user.save(update_fields=["name", "email"])


def part_from_provider(user: User) -> None:
    """The next sign-in with it finds the account by its address, as the first one did."""
    SocialAccount.objects.filter(user=user).delete()


def set_operator(*, user: User, on: bool) -> None:
    """Let somebody see and stop what all teams do on this installation, or no longer."""
    user.is_staff = on
    user.save(update_fields=["is_staff"])


def password_is_right(request: HttpRequest, user: User, password: str) -> bool:
    """Check the password again. A wrong one counts as a failed sign-in towards the lock."""
    return authenticate(request, email=user.email, password=password) is not None


def teams_left_without_owner(user: User) -> list[Team]:
    """Teams with other members in which `user` is the only owner."""
    owned = Membership.objects.owners().filter(user=user).select_related("team")
    return [membership.team for membership in owned if only_owner_of_others(membership)]


def teams_that_go_with(user: User) -> list[Team]:
    """Teams without other members, which are deleted with the account."""
    mine = Membership.objects.filter(user=user).select_related("team")
    return [m.team for m in mine if not m.team.memberships.exclude(user=user).exists()]


@transaction.atomic
def delete_account(*, user: User) -> None:
    """Delete the user, and teams without other members with all their goals and files.

    Raises PlainError if the user is the only owner of a team with other members.
    """
    user_id = user.pk
    team_ids = list(user.memberships.order_by("team_id").values_list("team_id", flat=True))
    for team_id in team_ids:
        lock(team_id)
    if teams_left_without_owner(user):
        raise PlainError(
            _(
                "You are the only owner of a team that has other members. Make one of them an "
                "owner, or delete the team, then delete your account."
            ),
            status=409,
            title=_("Somebody has to look after the team"),
        )
    for team in teams_that_go_with(user):
        delete_team(team=team)
    Invitation.objects.usable().filter(created_by=user).delete()
    reset_tries(username=user.email)  # the log of failed sign-ins contains the address
    user.delete()
    for team_id in team_ids:
        tell_editor_left(team_id, user_id)

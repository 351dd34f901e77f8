"""People: their accounts, their passwords, and how they leave."""

from axes.utils import reset as reset_tries
from django.contrib.auth import authenticate
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Invitation, Membership, Team, User
from finetune_app.accounts.services.teams import delete_team, lock, only_owner_of_others
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
    """Every session made with the old password ends: sessions carry a hash of it."""
    user.set_password(password)
    user.save(update_fields=["password"])


def password_is_right(request: HttpRequest, user: User, password: str) -> bool:
    """Ask for the password again. Wrong ones count as wrong sign-ins do, and lock likewise."""
    return authenticate(request, email=user.email, password=password) is not None


def teams_left_without_owner(user: User) -> list[Team]:
    """The teams that would be left with members and nobody to look after them."""
    owned = Membership.objects.owners().filter(user=user).select_related("team")
    return [membership.team for membership in owned if only_owner_of_others(membership)]


def teams_that_go_with(user: User) -> list[Team]:
    """The teams in which this person is alone: they go with the account."""
    mine = Membership.objects.filter(user=user).select_related("team")
    return [m.team for m in mine if not m.team.memberships.exclude(user=user).exists()]


@transaction.atomic
def delete_account(*, user: User) -> None:
    """The person, and the teams nobody else is in with all their goals, rows and files."""
    for membership in Membership.objects.filter(user=user).order_by("team_id"):
        lock(membership.team_id)
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
    reset_tries(username=user.email)  # what the lock at the door remembers names the person
    user.delete()

"""Invitations: links that let one person join. Shown once, stored as a hash."""

import secrets
from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Invitation, Membership, Role, Team, User
from finetune_app.accounts.services.hashing import hash_secret
from finetune_app.accounts.services.people import make_account
from finetune_app.core.errors import PlainError

INVITATION_DAYS = 7


def invite(*, team: Team, role: Role, by: User) -> tuple[Invitation, str]:
    """Returns a new invitation and its secret, which is not stored."""
    secret = secrets.token_urlsafe(24)
    invitation = Invitation.objects.create(
        team=team,
        role=role,
        secret_hash=hash_secret(secret),
        created_by=by,
        expires_at=timezone.now() + timedelta(days=INVITATION_DAYS),
    )
    return invitation, secret


def invitation_for(secret: str) -> Invitation | None:
    """The usable invitation with this secret, or None."""
    usable = Invitation.objects.usable().select_related("team", "created_by")
    return usable.filter(secret_hash=hash_secret(secret)).first()


@transaction.atomic
def accept(*, invitation: Invitation, user: User) -> Membership:
    """Join with an invitation. It works once: of two simultaneous requests, only one succeeds."""
    rows = Invitation.objects.usable().filter(pk=invitation.pk)
    if not rows.update(used_at=timezone.now(), used_by=user):
        raise PlainError(
            _("This invitation was used or withdrawn a moment ago. Ask for a new link."),
            status=409,
            title=_("This link no longer works"),
        )
    return Membership.objects.create(team=invitation.team, user=user, role=invitation.role)


@transaction.atomic
def join_as_new(*, invitation: Invitation, email: str, name: str, password: str) -> User:
    user = make_account(email=email, name=name, password=password)
    accept(invitation=invitation, user=user)
    return user


def withdraw(*, invitation: Invitation) -> None:
    invitation.delete()

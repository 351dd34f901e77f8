"""Links by which people without accounts vote. Shown once, stored as a hash."""

import secrets
from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.accounts.services.hashing import hash_secret
from finetune_app.core.errors import PlainError
from finetune_app.evaluation.models import Evaluation, VoteLink
from finetune_app.evaluation.votes.services import require_answers

DAYS = (1, 7, 14, 30)
DEFAULT_DAYS = 14


def create_link(
    *, evaluation: Evaluation, by: User, days: int, note: str = ""
) -> tuple[VoteLink, str]:
    """Returns a new link and its secret, which is not stored.

    Raises:
        PlainError: there are no answers yet, or the votes were counted.
    """
    require_answers(evaluation)
    if evaluation.needs_person and evaluation.revealed_at:
        raise PlainError(
            _("The votes were counted and the names shown. Test again to let people choose blind."),
            status=409,
            title=_("The votes are counted"),
        )
    secret = secrets.token_urlsafe(24)
    link = VoteLink.objects.create(
        evaluation=evaluation,
        secret_hash=hash_secret(secret),
        note=note,
        created_by=by,
        expires_at=timezone.now() + timedelta(days=days),
    )
    return link, secret


def find_link(secret: str) -> VoteLink | None:
    """The usable link with this secret. None also after the votes were counted."""
    usable = VoteLink.objects.usable().select_related("evaluation__goal", "evaluation__job")
    link = usable.filter(secret_hash=hash_secret(secret)).first()
    if link is None or (link.evaluation.needs_person and link.evaluation.revealed_at):
        return None
    return link


def revoke_link(*, link: VoteLink) -> None:
    """The link ends; the votes that came by it stay."""
    VoteLink.objects.filter(pk=link.pk, revoked_at=None).update(revoked_at=timezone.now())

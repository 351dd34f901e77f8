"""What becomes of the keys that somebody made or rotated in a team, once they are no editor or no
member of it."""

from typing import Any

from django.db.models.signals import pre_delete
from django.dispatch import receiver

from finetune_app.accounts.events import editor_left
from finetune_app.accounts.models import Membership
from finetune_app.api_keys.services import limit_keys_of, revoke_keys_of


@receiver(pre_delete, sender=Membership)
def revoke_keys(sender: type[Membership], instance: Membership, **kwargs: Any) -> None:
    """Before, because the deletion of an account also clears `ApiKey.created_by` and
    `rotated_by`."""
    revoke_keys_of(user_id=instance.user_id, team_id=instance.team_id)


@receiver(editor_left, sender=Membership)
def limit_keys(sender: type[Membership], team_id: int, user_id: int, **kwargs: Any) -> None:
    limit_keys_of(user_id=user_id, team_id=team_id)

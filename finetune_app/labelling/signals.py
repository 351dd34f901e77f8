"""No row waits for the answer of somebody who can no longer give one."""

from typing import Any

from django.dispatch import receiver

from finetune_app.accounts.events import editor_left
from finetune_app.accounts.models import Membership
from finetune_app.labelling import assignment


@receiver(editor_left, sender=Membership)
def release_rows(sender: type[Membership], team_id: int, user_id: int, **kwargs: Any) -> None:
    assignment.release_rows(team_id=team_id, user_id=user_id)

"""What goes with a deleted person, beyond the rows that refer to them."""

from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models.signals import pre_delete
from django.dispatch import receiver

from finetune_app.accounts.models import User
from finetune_app.audit.models import AuditEntry


@receiver(pre_delete, sender=User)
def forget_where_they_were(sender: type[User], instance: User, **kwargs: Any) -> None:
    """Their sessions, and the network addresses in their lines of the audit log."""
    keys = UserSession.objects.filter(user=instance).values_list("session_key", flat=True)
    Session.objects.filter(session_key__in=list(keys)).delete()
    AuditEntry.objects.forget_addresses(instance.pk)

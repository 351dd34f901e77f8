"""The audit log: who did what to what, from where. Lines are added and never changed.

A line holds ids and no names or texts, so that deleting a person, a team or
a goal leaves nothing of theirs here. Triggers in the database guard it as well (migration 0002).
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils import timezone

from finetune_app.core.audit import AuditAction

MIN_DAYS = 30  # the database refuses to delete younger lines


class AppendOnlyError(TypeError):
    """The audit log is append-only: a line is neither changed nor deleted."""


class AuditEntryQuerySet(models.QuerySet["AuditEntry"]):
    def of_team(self, team_id: int) -> "AuditEntryQuerySet":
        return self.filter(team_id=team_id)

    def update(self, **kwargs: Any) -> int:
        raise AppendOnlyError("lines of the audit log cannot be changed")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise AppendOnlyError("lines of the audit log cannot be deleted")

    def delete_older_than(self, before: datetime) -> int:
        """Delete lines whose retention period is over; never those of the last MIN_DAYS days."""
        before = min(before, timezone.now() - timedelta(days=MIN_DAYS))
        return super(AuditEntryQuerySet, self.filter(at__lt=before)).delete()[0]

    def forget_addresses(self, actor_id: int) -> None:
        """Remove the network addresses of a person who is deleted; the only change there is. Those
        of wrong passwords, too, which may have been their own."""
        tried = models.Q(
            actor_id=None, action=AuditAction.SIGN_IN_FAILED, target=f"user {actor_id}"
        )
        theirs = self.filter(models.Q(actor_id=actor_id) | tried)
        super(AuditEntryQuerySet, theirs).update(address="")


class AuditEntry(models.Model):
    """One line. Ids are plain numbers: a line outlives what it is about."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    action = models.CharField(max_length=40)  # an AuditAction; later versions may have more
    status = models.PositiveSmallIntegerField()  # of the response, as in HTTP
    actor_id = models.BigIntegerField(null=True)  # the person; none for a key or a command
    key_id = models.BigIntegerField(null=True)  # the API key that asked
    team_id = models.BigIntegerField(null=True)
    goal_id = models.BigIntegerField(null=True)
    target = models.CharField(max_length=60, blank=True)  # "membership 7", "number 3"
    address = models.CharField(max_length=45, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    objects = AuditEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["team_id", "-id"], name="audit_of_team"),
            models.Index(fields=["actor_id"], name="audit_of_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.action} ({self.status})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise AppendOnlyError("lines of the audit log cannot be changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnlyError("lines of the audit log cannot be deleted")

    @property
    def action_label(self) -> str:
        """In words: “created an API key”."""
        known = self.action in AuditAction.values
        return str(AuditAction(self.action).label) if known else self.action

    @property
    def was_done(self) -> bool:
        """Whether it happened; else it was refused, or its form had a mistake."""
        return self.status < 400 or self.action == AuditAction.SIGN_IN_FAILED

"""Periodic tasks of the installation: what is over, and what deletions left behind."""

from datetime import timedelta

from allauth.usersessions.models import UserSession
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone

from finetune_app.core.retention import delete_in_batches
from finetune_app.jobs.periodic_tasks import PeriodicTask
from finetune_app.operations import erasure


def delete_expired_sessions() -> None:
    """Delete sessions that have expired, and with them where an account was signed in."""
    delete_in_batches(Session.objects.filter(expire_date__lt=timezone.now()))
    # A row of an account's list is not renewed later than its session.
    age = timedelta(seconds=settings.SESSION_COOKIE_AGE)
    delete_in_batches(UserSession.objects.filter(last_seen_at__lt=timezone.now() - age))


def delete_old_attempts() -> None:
    """Delete failed sign-ins that no longer lock anybody out; the audit log has their lines."""
    over = timezone.now() - timedelta(hours=settings.AXES_COOLOFF_TIME)
    delete_in_batches(AccessAttempt.objects.filter(attempt_time__lt=over))


def erase_after_deletions() -> None:
    """Leave nothing of what somebody deleted in the database's own file."""
    erasure.erase_after_deletions()


TASKS = (
    PeriodicTask(erase_after_deletions, every_seconds=60),
    PeriodicTask(delete_expired_sessions, every_seconds=3600),
    PeriodicTask(delete_old_attempts, every_seconds=3600),
)

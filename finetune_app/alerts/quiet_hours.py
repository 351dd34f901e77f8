"""Quiet hours: when a notice may be sent."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from finetune_app.alerts.models import Watch


def when_due(watch: Watch, now: datetime) -> datetime:
    """`now`, or the end of the quiet hours in the chosen time zone."""
    if watch.quiet_from is None or watch.quiet_to is None or watch.quiet_from == watch.quiet_to:
        return now
    local = now.astimezone(ZoneInfo(watch.zone))
    start, end = watch.quiet_from, watch.quiet_to
    quiet = start <= local.hour < end if start < end else local.hour >= start or local.hour < end
    if not quiet:
        return now
    quiet_end = local.replace(hour=end, minute=0, second=0, microsecond=0)
    return quiet_end if quiet_end > local else quiet_end + timedelta(days=1)

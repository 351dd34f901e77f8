"""Creates the notices that sending.py sends."""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.alerts.models import Notice, Rule, Watch
from finetune_app.core.errors import PlainError

HELD_FOR_CALLER = timedelta(minutes=1)  # a mail server may take seconds


def create_notices(
    *, watch: Watch, rule: Rule | None, kind: str, value: float | None, due: datetime, text: str
) -> list[Notice]:
    """Create one notice for each configured channel; sending.py sends them."""
    channels = []
    if watch.people.exists():
        channels.append(Notice.Channel.EMAIL)
    if watch.webhook:
        channels.append(Notice.Channel.WEBHOOK)
    return [
        Notice.objects.create(
            watch=watch,
            rule=rule,
            kind=kind,
            channel=channel,
            text=text[:300],
            value=value,
            due_at=due,
        )
        for channel in channels
    ]


def create_test_notices(*, watch: Watch) -> list[Notice]:
    """Create a test notice for each channel, for the caller to send at once, even in quiet hours;
    later it is due like others. Raises PlainError if no channel is configured."""
    text = _("This is a test from Finetune: alerts of %(name)s arrive here.") % {
        "name": watch.deployment.name
    }
    due = timezone.now() + HELD_FOR_CALLER
    notices = create_notices(
        watch=watch, rule=None, kind=Notice.Kind.TRY, value=None, due=due, text=text
    )
    if not notices:
        raise PlainError(
            _("Choose somebody to tell by e-mail, or enter a webhook, and save."),
            title=_("Nobody to tell yet"),
        )
    return notices

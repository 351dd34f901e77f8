"""Sends notices by e-mail and to signed webhooks.

Each attempt is claimed by a conditional UPDATE first, so two clock processes never send the same
notice. Failed attempts are repeated after 1, 5 and 25 minutes and two hours.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import time
from datetime import timedelta

import httpx
from asgiref.sync import async_to_sync
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.alerts.models import Notice, Watch
from finetune_app.alerts.services import is_private
from finetune_app.core.encryption import decrypt
from finetune_app.providers import guard

log = logging.getLogger(__name__)

RETRY_SECONDS = (60, 300, 1500, 7200)  # before the second attempt and each later one
WEBHOOK_TIMEOUT_SECONDS = 10.0
MAX_NOTICES_AT_ONCE = 20


class NotSent(Exception):
    """A notice could not be sent. The message is shown on the page and contains no secret."""


def send_due() -> int:
    """Send the notices that are due; returns how many were sent."""
    due = Notice.objects.filter(sent_at=None, given_up_at=None, due_at__lte=timezone.now())
    first = due.select_related("watch__deployment").order_by("due_at", "pk")[:MAX_NOTICES_AT_ONCE]
    return sum(send(notice) for notice in first)


def send(notice: Notice) -> bool:
    """Make one attempt. False if it failed or another process has claimed it."""
    attempts = notice.attempts
    next_attempt = timezone.now() + timedelta(
        seconds=RETRY_SECONDS[min(attempts, len(RETRY_SECONDS) - 1)]
    )
    unclaimed = Notice.objects.filter(
        pk=notice.pk, attempts=attempts, sent_at=None, given_up_at=None
    )
    if not unclaimed.update(attempts=F("attempts") + 1, due_at=next_attempt):
        return False
    claimed = Notice.objects.filter(pk=notice.pk)
    try:
        _send_email(notice) if notice.channel == Notice.Channel.EMAIL else _call_webhook(notice)
    except NotSent as problem:
        log.warning("notice %s was not sent: %s", notice.pk, problem)
        given_up_at = timezone.now() if attempts >= len(RETRY_SECONDS) else None
        claimed.update(problem=str(problem)[:300], given_up_at=given_up_at)
        return False
    claimed.update(sent_at=timezone.now(), problem="")
    return True


def _send_email(notice: Notice) -> None:
    people = recipients(notice.watch)
    if not people:
        raise NotSent(_("Nobody of the team is to be told any more."))
    if not settings.EMAIL_READY:
        raise NotSent(_("E-mail is not set up here. Whoever runs Finetune sets EMAIL_HOST."))
    address = f"{settings.PUBLIC_URL}/goals/{notice.watch.deployment.goal_id}/deployment/alerts/"
    message = EmailMessage(
        subject=f"[Finetune] {' '.join(notice.text.split())}"[:200],
        body=f"{notice.text}\n\n{address}\n",
        bcc=[one.email for one in people],
        headers={"X-Auto-Response-Suppress": "All", "Auto-Submitted": "auto-generated"},
    )
    try:
        message.send()
    except Exception as error:  # smtplib and backends raise many types
        raise NotSent(
            _("The mail server did not take it (%(error)s).") % {"error": type(error).__name__}
        ) from error


def recipients(watch: Watch) -> list[User]:
    """The chosen people who are still members of the team."""
    return list(watch.people.filter(memberships__team=watch.deployment.team_id).distinct())


def webhook_body(notice: Notice) -> bytes:
    rule, deployment = notice.rule, notice.watch.deployment
    return json.dumps(
        {
            "id": str(notice.public_id),
            "event": notice.kind,
            "text": notice.text,
            "alert": rule.metric if rule else None,
            "value": notice.value,
            "limit": rule.limit if rule else None,
            "deployment": deployment.name,
            "goal": deployment.goal_id,
            "at": notice.at.isoformat(),
        }
    ).encode()


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 of "timestamp.body": an old message cannot be replayed with a new timestamp."""
    return (
        "sha256="
        + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    )


def _call_webhook(notice: Notice) -> None:
    watch = notice.watch
    if not watch.webhook:
        raise NotSent(_("There is no webhook any more."))
    try:
        secret = decrypt(watch.secret)
    except InvalidToken:
        raise NotSent(
            _("The webhook's secret cannot be read any more. Press Save: it gets a new one.")
        ) from None
    body, now = webhook_body(notice), str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Finetune",
        "X-Finetune-Timestamp": now,
        "X-Finetune-Signature": signature(secret, now, body),
    }
    try:
        status = async_to_sync(_post)(watch.webhook, body, headers)
    except guard.NotAllowed as problem:
        raise NotSent(str(problem)) from None
    except (httpx.HTTPError, TimeoutError, OSError) as problem:
        raise NotSent(
            _("The webhook did not answer (%(error)s).") % {"error": type(problem).__name__}
        ) from None
    if not 200 <= status < 300:
        raise NotSent(_("The webhook answered with %(status)d.") % {"status": status})


async def _post(address: str, body: bytes, headers: dict[str, str]) -> int:
    """Returns the HTTP status. Connects only where the guard allows it, follows no redirects and
    does not read the response's body."""
    transport = guard.GuardedTransport(private=is_private(address))
    async with (
        asyncio.timeout(WEBHOOK_TIMEOUT_SECONDS),
        httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=WEBHOOK_TIMEOUT_SECONDS,
        ) as client,
        client.stream("POST", address, content=body, headers=headers) as response,
    ):
        return response.status_code

"""Sending: webhooks are signed and retried, sent once, and never to a private network."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.utils import timezone

from finetune_app.accounts.models import Membership
from finetune_app.alerts import notices, sending
from finetune_app.alerts.models import Notice
from finetune_app.alerts.quiet_hours import when_due
from finetune_app.core.encryption import decrypt
from finetune_app.core.errors import PlainError
from tests.alerts.conftest import change, check, log_requests


def make_due() -> None:
    Notice.objects.update(due_at=timezone.now())


def test_a_webhook_gets_a_signed_message(watch, live, receiver):
    secret = change(watch, people=[], webhook=receiver.url)
    log_requests(live, failed=30)
    check(watch, 2)
    assert sending.send_due() == 1
    ((headers, body),) = receiver.received
    message = json.loads(body)
    assert (message["event"], message["alert"], message["value"], message["limit"]) == (
        "raised",
        "errors",
        100.0,
        5.0,
    )
    assert message["deployment"] == "shop-mail"
    signed = headers["X-Finetune-Timestamp"].encode() + b"." + body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["X-Finetune-Signature"] == f"sha256={expected}"
    assert secret not in str(receiver.received)


def test_the_secret_is_encrypted_and_changes_with_the_address(watch, receiver):
    secret = change(watch, webhook=receiver.url)
    assert secret not in watch.secret
    assert decrypt(watch.secret) == secret
    assert change(watch, webhook=receiver.url) == ""
    assert change(watch, webhook="") == ""
    assert watch.secret == ""


def test_a_secret_that_cannot_be_read_any_more_is_made_anew(watch, receiver):
    change(watch, people=[], webhook=receiver.url)
    watch.secret = "of another key"
    watch.save()
    (notice,) = notices.create_test_notices(watch=watch)
    assert not sending.send(notice)
    notice.refresh_from_db()
    assert "Press Save" in notice.problem
    secret = change(watch, webhook=receiver.url)
    assert decrypt(watch.secret) == secret


def test_a_test_is_left_to_the_page_that_sends_it(watch, receiver):
    """Else the clock takes it while a mail server takes seconds, and the page says it was not."""
    change(watch, people=[], webhook=receiver.url)
    (notice,) = notices.create_test_notices(watch=watch)
    assert sending.send_due() == 0
    assert sending.send(notice)
    assert len(receiver.received) == 1


def test_a_failing_webhook_is_retried_then_given_up(watch, receiver):
    change(watch, people=[], webhook=receiver.url)
    receiver.status = 503
    (notice,) = notices.create_test_notices(watch=watch)
    for attempt in range(1, 6):
        make_due()
        assert sending.send_due() == 0
        notice.refresh_from_db()
        assert notice.attempts == attempt
        wait = (notice.due_at - timezone.now()).total_seconds()
        assert wait == pytest.approx(
            (*sending.RETRY_SECONDS, sending.RETRY_SECONDS[-1])[attempt - 1], abs=30
        )
    assert notice.given_up_at
    assert notice.problem == "The webhook answered with 503."
    make_due()
    assert sending.send_due() == 0
    assert len(receiver.received) == 5


def test_a_retried_notice_is_sent_once(watch, receiver):
    change(watch, people=[], webhook=receiver.url)
    receiver.status = 500
    (notice,) = notices.create_test_notices(watch=watch)
    sending.send(notice)
    receiver.status = 204
    make_due()
    assert sending.send_due() == 1
    make_due()
    assert sending.send_due() == 0
    assert len(receiver.received) == 2


def test_two_concurrent_senders_send_once(watch, receiver):
    change(watch, people=[], webhook=receiver.url)
    (notice,) = notices.create_test_notices(watch=watch)
    same = Notice.objects.select_related("watch__deployment").get(pk=notice.pk)
    assert sending.send(notice)
    assert not sending.send(same)
    assert len(receiver.received) == 1


def test_redirects_are_not_followed(watch, receiver):
    change(watch, people=[], webhook=receiver.url)
    receiver.status = 302
    (notice,) = notices.create_test_notices(watch=watch)
    sending.send(notice)
    assert Notice.objects.get().problem == "The webhook answered with 302."
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest",
        "https://localhost/x",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://0x7f000001/",
        "ftp://example.com/",
        "https://me:pw@example.com/",
        "http://example.com",
    ],
)
def test_a_private_address_is_refused_when_it_is_entered(watch, address):
    with pytest.raises(PlainError):
        change(watch, webhook=address)


def test_the_address_is_checked_again_when_connecting(watch, receiver, settings):
    """The host may no longer be allowed, or its name may resolve to another address by now."""
    change(watch, people=[], webhook=receiver.url)
    settings.ENDPOINTS_ALLOWED = frozenset()
    (notice,) = notices.create_test_notices(watch=watch)
    assert not sending.send(notice)
    assert "https" in Notice.objects.get().problem
    assert not receiver.received


def test_a_former_member_gets_no_alert(watch, owner):
    Membership.objects.filter(user=owner).delete()
    (notice,) = notices.create_test_notices(watch=watch)
    sending.send(notice)
    assert not mail.outbox
    assert "Nobody of the team" in Notice.objects.get().problem


def test_only_members_can_be_recipients(watch, stranger):
    change(watch, people=[stranger])
    assert not watch.people.exists()


def test_without_a_mail_server_the_problem_is_stored(watch, settings):
    settings.EMAIL_READY = False
    (notice,) = notices.create_test_notices(watch=watch)
    assert not sending.send(notice)
    assert "EMAIL_HOST" in Notice.objects.get().problem


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("23:30", "07:00"),
        ("03:00", "07:00"),
        ("06:59", "07:00"),
        ("07:00", "07:00"),
        ("12:00", "12:00"),
        ("21:59", "21:59"),
        ("22:00", "07:00"),
    ],
)
def test_quiet_hours_over_midnight(watch, now, due):
    change(watch, quiet=(22, 7))
    hour, minute = map(int, now.split(":"))
    at = datetime(2026, 3, 10, hour, minute, tzinfo=UTC)
    found = when_due(watch, at)
    assert f"{found:%H:%M}" == due
    assert timedelta(0) <= found - at < timedelta(hours=10)


def test_quiet_hours_follow_the_time_zone(watch):
    change(watch, quiet=(9, 17), zone="Asia/Tokyo")
    at = datetime(2026, 3, 10, 1, 0, tzinfo=UTC)  # ten in the morning there
    assert when_due(watch, at) == datetime(2026, 3, 10, 8, 0, tzinfo=UTC)
    assert when_due(watch, at + timedelta(hours=7)) == at + timedelta(hours=7)


def test_an_alert_that_recovers_in_quiet_hours_is_not_sent(watch, live):
    hour = timezone.now().hour
    change(watch, quiet=(hour, (hour + 2) % 24))
    log_requests(live, failed=30)
    check(watch, 2)
    assert sending.send_due() == 0
    live.requests.all().delete()
    log_requests(live, successful=30)
    assert check(watch, 3)[-1] == "recovered"
    assert not Notice.objects.exists()

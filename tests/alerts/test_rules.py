"""When a rule is raised, when it recovers, and that each is notified once."""

from datetime import timedelta

import pytest
from django.core import mail

from finetune_app.alerts import rule_checks, rules, sending
from finetune_app.alerts.models import Notice, Rule
from finetune_app.monitoring.costs import start_of_month
from finetune_app.request_log import rollups
from tests.alerts.conftest import age_requests, change, check, log_requests


def test_one_notice_when_raised_and_one_when_recovered(watch, live):
    log_requests(live, successful=10, failed=10)
    assert check(watch, 5) == ["", "raised", "", "", ""]
    age_requests(live)
    log_requests(live, successful=30)
    assert check(watch, 5) == ["", "", "recovered", "", ""]
    assert [one.kind for one in Notice.objects.order_by("pk")] == ["raised", "recovered"]
    sending.send_due()
    assert mail.outbox[0].subject == (
        "[Finetune] shop-mail: 50% of the last hour's requests failed; your limit is 5%."
    )
    assert "answers again" in mail.outbox[1].subject
    assert mail.outbox[0].to == []
    assert mail.outbox[0].bcc == ["mara@kettle.example"]


def test_a_single_check_above_the_limit_raises_nothing(watch, live):
    log_requests(live, successful=10, failed=10)
    assert check(watch) == [""]
    age_requests(live)
    log_requests(live, successful=40)
    assert check(watch, 3) == ["", "", ""]
    assert not Notice.objects.exists()


LIMIT = 10.0


@pytest.mark.parametrize(
    ("values", "events"),
    [
        ([11, 9, 11, 9, 11, 9], []),  # around the limit: never twice in a row
        ([11, 12, 9, 9, 9, 9], ["raised"]),  # below, but not below four fifths
        ([11, 12, 7, 7, 9, 7, 7, 7], ["raised", "recovered"]),
        ([11, None, 11], ["raised"]),  # too few requests change nothing
        ([11, 11, None, None, None, None], ["raised"]),
        ([None] * 9, []),
        ([20] * 50, ["raised"]),
    ],
)
def test_events_of_a_series_of_values(values, events):
    raised, consecutive, found = False, 0, []
    for value in values:
        transition = rules.next_state(
            raised=raised, consecutive_checks=consecutive, value=value, limit=LIMIT
        )
        consecutive = transition.consecutive_checks
        if transition.event:
            raised = transition.event == "raised"
            found.append(transition.event)
    assert found == events


def test_drift_recovers_below_any_limit(watch, live, monkeypatch):
    """Of two prompts one is guessed right by chance, so 50 of 100 is the least there can be."""
    change(watch, limits={"drift": 60.0})
    told_apart = 66.0
    monkeypatch.setattr(rules.drift, "separable_percent", lambda _deployment: told_apart)
    assert check(watch, 2, "drift") == ["", "raised"]
    told_apart = 59.0
    assert check(watch, 3, "drift") == ["", "", ""]
    told_apart = 50.0
    assert check(watch, 3, "drift") == ["", "", "recovered"]


def test_one_slow_answer_of_twenty_is_not_95_of_100(watch, live):
    log_requests(live, successful=19, seconds=1.0)
    log_requests(live, successful=1, seconds=30.0)
    assert rules.measure("slow", live) == 1.0


def test_two_clocks_create_one_notice(watch, live):
    log_requests(live, failed=20)
    check(watch)
    rule = Rule.objects.select_related("watch__deployment").get(metric="errors")
    assert rule_checks.check_rule(rule) == "raised"
    assert rule_checks.check_rule(rule) == ""  # as another clock with the same row
    assert Notice.objects.count() == 1


def test_too_few_requests_and_client_errors_do_not_count(watch, live):
    log_requests(live, failed=rules.MIN_REQUESTS - 1)
    assert rules.measure("errors", live) is None
    log_requests(live, successful=1)
    assert rules.measure("errors", live) == pytest.approx(95)
    age_requests(live)
    log_requests(live, successful=19)
    for status, error in ((400, "bad"), (401, ""), (499, "gone"), (429, "engine_busy")):
        log_requests(live, successful=1)
        live.requests.filter(pk=live.requests.first().pk).update(status=status, error=error)
    assert rules.measure("errors", live) == pytest.approx(100 / 23)


def test_requests_during_a_pause_say_nothing(watch, live):
    """They neither fail nor hide what fails."""
    log_requests(live, failed=30, error="model_paused")
    live.requests.update(status=503)
    assert rules.measure("errors", live) is None
    log_requests(live, successful=10, failed=10)
    assert rules.measure("errors", live) == 50


def test_the_p95_latency_raises_the_rule(watch, live):
    change(watch, limits={"slow": 5.0})
    log_requests(live, successful=30, seconds=1)
    log_requests(live, successful=4, seconds=9)
    assert rules.measure("slow", live) == 9
    assert check(watch, 2, "slow") == ["", "raised"]
    assert "within 9.0 s only" in Notice.objects.get().text


def test_only_tokens_of_this_month_count(watch, live):
    change(watch, limits={"budget": 1000.0})
    log_requests(live, successful=2, prompt_tokens=400, tokens=200)
    assert check(watch, 2, "budget") == ["", "raised"]
    assert Notice.objects.get().text == (
        "shop-mail has used 1,200 tokens this month; your limit is 1,000."
    )
    live.requests.update(at="2020-01-01T00:00Z")  # last month's
    assert check(watch, 3, "budget") == ["", "", "recovered"]


def test_tokens_of_deleted_requests_count_until_the_month_is_over(watch, live):
    """Requests are kept for REQUEST_LOG_DAYS, which may be fewer than the days of the month."""
    change(watch, limits={"budget": 1000.0})
    month = start_of_month()
    log_requests(live, successful=1, prompt_tokens=400, tokens=200)
    live.requests.update(at=month)
    while rollups.roll_up_finished_hours(month + timedelta(hours=1, minutes=5)):
        pass
    assert rules.measure("budget", live) == 600
    live.requests.all().delete()
    assert rules.measure("budget", live) == 600
    log_requests(live, successful=1, prompt_tokens=400, tokens=200)
    live.requests.update(at=month + timedelta(hours=2))  # not rolled up yet
    assert rules.measure("budget", live) == 1200


def test_rules_that_are_off_or_paused_are_not_checked(watch, live):
    log_requests(live, failed=30)
    change(watch, limits={})
    rule_checks.check_rules()
    rule_checks.check_rules()
    change(watch, limits={"errors": 5.0})
    live.paused_at = "2026-01-01T00:00Z"
    live.save()
    rule_checks.check_rules()
    rule_checks.check_rules()
    assert not Notice.objects.exists()


def test_a_changed_limit_resets_the_rule(watch, live):
    log_requests(live, failed=30)
    check(watch, 2)
    change(watch, limits={"errors": 50.0})
    assert Rule.objects.get(metric="errors").raised_at is None
    change(watch, limits={"errors": 50.0})
    check(watch)
    change(watch, limits={"errors": 50.0})  # saved unchanged
    assert Rule.objects.get(metric="errors").consecutive_checks == 1

"""When something counts as wrong, and that there is no storm."""

import pytest
from django.core import mail

from finetune_app.alerts import rules, sending, services
from finetune_app.alerts.models import Notice, Rule
from tests.alerts.conftest import asked, change, forget, look


def test_one_alert_until_it_is_over_then_one_that_it_is(watch, live):
    asked(live, good=10, failed=10)
    assert look(watch, 5) == ["", "raised", "", "", ""]
    forget(live)
    asked(live, good=30)
    assert look(watch, 5) == ["", "", "recovered", "", ""]
    assert [one.kind for one in Notice.objects.order_by("pk")] == ["raised", "recovered"]
    sending.send_due()
    assert mail.outbox[0].subject == (
        "[Finetune] shop-mail: 50% of the last hour's requests failed; your limit is 5%."
    )
    assert "answers again" in mail.outbox[1].subject
    assert mail.outbox[0].to == []
    assert mail.outbox[0].bcc == ["mara@kettle.example"]


def test_a_single_bad_look_says_nothing(watch, live):
    asked(live, good=10, failed=10)
    assert look(watch) == [""]
    forget(live)
    asked(live, good=40)
    assert look(watch, 3) == ["", "", ""]
    assert not Notice.objects.exists()


LIMIT = 10.0


@pytest.mark.parametrize(
    ("values", "happened"),
    [
        ([11, 9, 11, 9, 11, 9], []),  # about the limit: never twice in a row
        ([11, 12, 9, 9, 9, 9], ["raised"]),  # below, but not clearly: no word yet
        ([11, 12, 7, 7, 9, 7, 7, 7], ["raised", "recovered"]),
        ([11, None, 11], ["raised"]),  # silence is no news, good or bad
        ([11, 11, None, None, None, None], ["raised"]),
        ([None] * 9, []),
        ([20] * 50, ["raised"]),
    ],
)
def test_a_value_that_hovers(values, happened):
    raised, streak, found = False, 0, []
    for value in values:
        after = rules.next_state(raised=raised, streak=streak, value=value, limit=LIMIT)
        streak = after.streak
        if after.event:
            raised = after.event == "raised"
            found.append(after.event)
    assert found == happened


def test_two_clocks_send_it_once(watch, live):
    asked(live, failed=20)
    look(watch)
    read = Rule.objects.select_related("watch__deployment").get(what="errors")
    assert services.check_rule(read) == "raised"
    assert services.check_rule(read) == ""  # the other one had read the same row
    assert Notice.objects.count() == 1


def test_few_requests_and_mistakes_of_askers_are_no_failures(watch, live):
    asked(live, failed=rules.MIN_REQUESTS - 1)
    assert rules.measure("errors", live) is None
    asked(live, good=1)
    assert rules.measure("errors", live) == pytest.approx(95)
    forget(live)
    asked(live, good=19)
    for status, error in ((400, "bad"), (401, ""), (499, "gone"), (429, "engine_busy")):
        asked(live, good=1)
        live.requests.filter(pk=live.requests.first().pk).update(status=status, error=error)
    assert rules.measure("errors", live) == pytest.approx(100 / 23)


def test_slow_answers(watch, live):
    change(watch, limits={"slow": 5.0})
    asked(live, good=30, seconds=1)
    asked(live, good=4, seconds=9)
    assert rules.measure("slow", live) == 9
    assert look(watch, 2, "slow") == ["", "raised"]
    assert "within 9.0 s only" in Notice.objects.get().text


def test_tokens_of_this_month(watch, live):
    change(watch, limits={"budget": 1000.0})
    asked(live, good=2, prompt_tokens=400, tokens=200)
    assert look(watch, 2, "budget") == ["", "raised"]
    assert Notice.objects.get().text == (
        "shop-mail has used 1,200 tokens this month; your limit is 1,000."
    )
    live.requests.update(at="2020-01-01T00:00Z")  # last month's
    assert look(watch, 3, "budget") == ["", "", "recovered"]


def test_what_is_off_or_paused_is_not_looked_at(watch, live):
    asked(live, failed=30)
    change(watch, limits={})
    services.check_rules()
    services.check_rules()
    change(watch, limits={"errors": 5.0})
    live.paused_at = "2026-01-01T00:00Z"
    live.save()
    services.check_rules()
    services.check_rules()
    assert not Notice.objects.exists()


def test_another_limit_begins_from_nothing(watch, live):
    asked(live, failed=30)
    look(watch, 2)
    change(watch, limits={"errors": 50.0})
    assert Rule.objects.get(what="errors").raised_at is None
    change(watch, limits={"errors": 50.0})
    look(watch)
    change(watch, limits={"errors": 50.0})  # saved once more as it is: nothing changes
    assert Rule.objects.get(what="errors").streak == 1

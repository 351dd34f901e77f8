"""The monitoring page: requests, latency, costs, and permissions."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from finetune_app.api_keys import services as api_keys
from finetune_app.deployment.models import Deployment
from finetune_app.monitoring import costs, timeseries
from finetune_app.request_log import rollups
from finetune_app.request_log.histogram import Histogram
from finetune_app.request_log.models import HourlyUsage, Request

NOW = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
DAY = timeseries.RANGES["day"]


@pytest.fixture
def asked(live, team, owner):
    """asked(5, status=429) stores a request of five minutes ago, with a key."""
    key, _text = api_keys.create_key(team=team, by=owner, name="the mailbox", deployment=live)

    def store(ago: float, now: datetime = NOW, **facts) -> Request:
        given = {
            "status": 200,
            "seconds": 1.0,
            "first_seconds": 0.2,
            "tokens": 10,
            "prompt_tokens": 90,
            "key": key,
            "deployment": live,
            "release": live.current,
        }
        return Request.objects.create(
            team=team, model=live.name, at=now - timedelta(minutes=ago), **given | facts
        )

    return store


def test_rollups_do_not_change_the_figures(live, asked):
    for ago in (5, 65, 65.2, 130, 700, 3000):
        asked(ago, seconds=ago / 100)
    asked(70, status=429, error="engine_busy", first_seconds=None, seconds=0.01)
    asked(70, deployment=None, release=None)
    before = timeseries.timeseries_of(live, DAY, NOW)
    while rollups.roll_up_finished_hours(NOW):
        pass
    after = timeseries.timeseries_of(live, DAY, NOW)
    assert HourlyUsage.objects.count() == 5
    assert before.total == after.total
    assert before.points == after.points
    assert (before.by_key, before.by_release) != ({}, {})
    assert {k: v.usage for k, v in before.by_key.items()} == {
        k: v.usage for k, v in after.by_key.items()
    }
    assert before.by_deployment == after.by_deployment
    assert {pk: usage.requests for pk, usage in after.by_deployment.items()} == {
        live.pk: 6,
        None: 1,
    }
    assert before.total.usage.requests == 6  # one was more than a day ago
    assert before.total.stats.errors == {"engine_busy": 1}


def test_an_hour_is_rolled_up_once_and_only_when_it_has_ended(asked):
    asked(31)  # 9:59
    asked(10)  # 10:20
    assert not rollups.roll_up_finished_hours(NOW)
    assert not rollups.roll_up_finished_hours(NOW)
    assert [one.requests for one in HourlyUsage.objects.all()] == [1]
    assert not rollups.roll_up_finished_hours(
        NOW + timedelta(minutes=31)
    )  # 11:01: within the slack
    assert HourlyUsage.objects.count() == 1
    rollups.roll_up_finished_hours(NOW + timedelta(minutes=33))
    assert HourlyUsage.objects.count() == 2


def test_hours_without_requests_are_skipped(asked):
    asked(60 * 24 * 300)
    asked(180)
    assert not rollups.roll_up_finished_hours(NOW, most=6)
    assert HourlyUsage.objects.count() == 2
    assert rollups.rolled_up_until() == NOW.replace(minute=0)


def test_the_second_of_two_concurrent_rollups_writes_nothing(asked, monkeypatch):
    asked(120)
    start = rollups.rolled_up_until()
    rollups.roll_up_finished_hours(NOW)
    rollups._roll_up_hour(start, NOW)
    assert HourlyUsage.objects.count() == 1


def test_the_hour_range_has_a_point_a_minute(live, asked):
    asked(0.2)
    asked(59)
    asked(61)
    found = timeseries.timeseries_of(live, timeseries.RANGES["hour"], NOW)
    assert [point.usage.requests for point in found.points] == [1] + [0] * 57 + [1, 0]


def test_the_hour_of_the_whole_team_counts_what_is_rolled_up_within_it(live, asked):
    asked(5)
    asked(45)
    while rollups.roll_up_finished_hours(NOW):
        pass
    hour = timeseries.timeseries_of(live, timeseries.RANGES["hour"], NOW)
    assert hour.by_deployment == {live.pk: hour.total.usage}
    assert hour.total.usage.requests == 2


def test_percentiles_are_right_to_5_percent():
    waits = [0.05 * 1.01**n for n in range(1000)]
    histogram = Histogram.of(waits)
    for share in (0.5, 0.95, 0.99):
        assert histogram.quantile(share) == pytest.approx(waits[int(share * 1000) - 1], rel=0.05)
    assert Histogram.from_json(histogram.to_json()) == histogram
    assert Histogram().quantile(0.5) is None
    assert Histogram.of([0.0, 1e9]).total() == 2


def test_concurrent_requests_share_the_time():
    assert rollups.shared_seconds([(0, 4), (1, 4), (1, 4), (9, 10), (9, 9)]) == pytest.approx(
        [2.0, 1.0, 1.0, 1.0, 0.0]
    )
    assert rollups.shared_seconds([]) == []


def test_answers_over_the_end_of_an_hour_share_the_time_too(live, asked):
    """Eight of five minutes side by side: four end a second before ten, four a second after."""
    for ago in (30 + 1 / 60, 30 - 1 / 60):
        for _one in range(4):
            asked(ago, seconds=300.0)
    for _again in range(2):  # before the hour is rolled up, and after
        day = timeseries.timeseries_of(live, DAY, NOW)
        assert day.total.usage.busy_seconds == pytest.approx(302)
        rollups.roll_up_finished_hours(NOW)
    assert HourlyUsage.objects.get().busy_seconds == pytest.approx(151)
    since_ten = timeseries.timeseries_of(
        live, timeseries.RANGES["hour"], NOW + timedelta(minutes=29)
    )
    assert since_ten.total.usage.busy_seconds == pytest.approx(151)


def test_without_a_price_the_cost_is_unknown(live, asked, as_owner, url):
    asked(1, timezone.now())
    page = as_owner.get(url("monitoring:page")).content.decode()
    assert "not set" in page
    assert "€0.00" not in page
    assert costs.Price.of(live).cost(rollups.Usage(5, 0, 100, 100, 9.0)) is None


def test_prices_of_an_hour_and_of_tokens_add_up(live, asked, as_editor, url):
    asked(10, timezone.now(), seconds=36.0, prompt_tokens=1_000_000, tokens=500_000)
    given = {"currency": "EUR", "hour": "2", "read": "0.5", "written": "1.5"}
    assert as_editor.post(url("monitoring:price"), given).status_code == 302
    reply = as_editor.get(url("monitoring:page"))
    assert reply.context["cost"] == "€1.27"  # 0.02 + 0.50 + 0.75
    assert "the mailbox" in reply.content.decode()
    as_editor.post(url("monitoring:price"), {"currency": "EUR"})
    assert as_editor.get(url("monitoring:page")).context["cost"] == ""


def test_an_invalid_price_is_refused(live, as_editor, url):
    reply = as_editor.post(url("monitoring:price"), {"currency": "EUR", "hour": "-1"})
    assert reply.status_code == 422
    assert Deployment.objects.get().hour_price is None


def test_cost_of_a_key_this_month(live, asked):
    costs.set_price(deployment=live, currency="USD", hour=None, read=None, written=100)
    key = asked(10, tokens=5_000).key
    asked(60 * 24 * 10, tokens=90_000)  # in February
    assert costs.spent_by(key, NOW) == {"USD": pytest.approx(0.5)}
    rollups.roll_up_finished_hours(NOW, most=99)
    assert costs.spent_by(key, NOW) == {"USD": pytest.approx(0.5)}


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0.4149, "€0.41"),
        (0, "€0.00"),
        (0.00081, "€0.0008"),
        (1e-9, "< €0.0001"),
        (1234.5, "€1,234.50"),
        (None, ""),
    ],
)
def test_format_money_never_rounds_to_zero(amount, words):
    assert costs.format_money(amount, "EUR") == words


def test_open_every_range_and_poll(live, asked, as_viewer, url):
    asked(5, timezone.now())
    for name in (*timeseries.RANGES, "year", ""):
        reply = as_viewer.get(url("monitoring:page"), {"range": name})
        assert reply.context["total"].usage.requests == 1
    poll = as_viewer.get(url("monitoring:page"), headers={"HX-Request": "true"}).content.decode()
    assert re.match(r'\s*<div\s+id="figures"', poll)
    assert "every 30s" in poll


def test_failures_are_listed_in_words(live, asked, as_viewer, url):
    asked(5, timezone.now(), status=429, error="engine_busy")
    page = as_viewer.get(url("monitoring:page")).content.decode()
    assert "The model was busy" in page
    assert "of which one failed" in page


def test_requests_from_our_pages_have_a_row(live, asked, as_viewer, url):
    asked(5, timezone.now(), key=None)
    assert "A page of ours" in as_viewer.get(url("monitoring:page")).content.decode()


def test_without_a_deployment_the_page_redirects(goal, as_viewer, url):
    assert as_viewer.get(url("monitoring:page")).url == url("page")


def test_permissions_to_see_figures_and_set_prices(live, as_viewer, as_stranger, url):
    assert as_viewer.get(url("monitoring:page")).status_code == 200
    assert as_viewer.post(url("monitoring:price"), {"currency": "EUR"}).status_code == 403
    assert as_stranger.get(url("monitoring:page")).status_code == 404
    assert as_stranger.post(url("monitoring:price"), {"currency": "EUR"}).status_code == 404


def test_requests_of_other_teams_are_not_counted(live, asked, stranger):
    asked(5)
    theirs = stranger.teams.get()
    Request.objects.create(team=theirs, model="x", status=200, seconds=1, at=NOW)
    series = timeseries.timeseries_of(live, DAY, NOW)
    assert series.total.usage.requests == 1
    assert set(series.by_deployment) == {live.pk}


def test_the_summary_has_the_same_totals_from_fewer_rows(live, asked):
    asked(5)
    asked(45)
    while rollups.roll_up_finished_hours(NOW):
        pass
    whole = timeseries.timeseries_of(live, DAY, NOW)
    brief = timeseries.timeseries_of(live, DAY, NOW, whole=False)
    assert brief.total == whole.total
    assert [point.usage for point in brief.points] == [point.usage for point in whole.points]
    assert brief.total.usage.requests == 2

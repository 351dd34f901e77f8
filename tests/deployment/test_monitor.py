"""The live page: what was asked, how long people waited, what it cost, and who may look."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from finetune_app.api_keys import services as api_keys
from finetune_app.deployment.models import Deployment, Hour, Request
from finetune_app.deployment.monitoring import costs, hours, picture
from finetune_app.deployment.monitoring.pace import Spread

NOW = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
DAY = picture.RANGES["day"]


@pytest.fixture
def asked(live, team, owner):
    """asked(minutes ago, ...) is a request of the live one, with a key of its own."""
    key, _text = api_keys.create_key(team=team, by=owner, name="the mailbox", deployment=live)

    def ask(ago: float, now: datetime = NOW, **facts) -> Request:
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

    return ask


def test_the_same_figures_before_and_after_hours_are_added_up(live, asked):
    for ago in (5, 65, 65.2, 130, 700, 3000):
        asked(ago, seconds=ago / 100)
    asked(70, status=429, error="engine_busy", first_seconds=None, seconds=0.01)
    raw = picture.of(live, DAY, NOW)
    while hours.catch_up(NOW):
        pass
    added = picture.of(live, DAY, NOW)
    assert Hour.objects.count() == 4
    assert raw.whole == added.whole
    assert raw.slots == added.slots
    assert (raw.by_key, raw.by_release) != ({}, {})
    assert {k: v.sum for k, v in raw.by_key.items()} == {k: v.sum for k, v in added.by_key.items()}
    assert raw.whole.sum.requests == 6  # one was more than a day ago
    assert raw.whole.pace.errors == {"engine_busy": 1}


def test_an_hour_is_added_up_once_and_only_when_it_is_over(asked):
    asked(31)  # 9:59
    asked(10)  # 10:20
    assert not hours.catch_up(NOW)
    assert not hours.catch_up(NOW)
    assert [one.requests for one in Hour.objects.all()] == [1]
    assert not hours.catch_up(NOW + timedelta(minutes=31))  # 11:01: within the slack
    assert Hour.objects.count() == 1
    hours.catch_up(NOW + timedelta(minutes=33))
    assert Hour.objects.count() == 2


def test_hours_without_requests_are_passed_over_at_once(asked):
    asked(60 * 24 * 300)
    asked(180)
    assert not hours.catch_up(NOW, most=6)
    assert Hour.objects.count() == 2
    assert hours.up_to() == NOW.replace(minute=0)


def test_who_moves_the_mark_second_writes_nothing(asked, monkeypatch):
    asked(120)
    start = hours.up_to()
    hours.catch_up(NOW)
    hours._add_up(start, NOW)
    assert Hour.objects.count() == 1


def test_an_hour_is_shown_minute_by_minute(live, asked):
    asked(0.2)
    asked(59)
    asked(61)
    found = picture.of(live, picture.RANGES["hour"], NOW)
    assert [slot.sum.requests for slot in found.slots] == [1] + [0] * 57 + [1, 0]


def test_percentiles_are_right_to_a_twentieth():
    waits = [0.05 * 1.01**n for n in range(1000)]
    spread = Spread.of(waits)
    for share in (0.5, 0.95, 0.99):
        assert spread.at(share) == pytest.approx(waits[int(share * 1000) - 1], rel=0.05)
    assert Spread.read(spread.kept()) == spread
    assert Spread().at(0.5) is None
    assert Spread.of([0.0, 1e9]).total() == 2


def test_time_in_which_three_ran_is_shared_by_three():
    assert hours.shares([(0, 4), (1, 4), (1, 4), (9, 10), (9, 9)]) == pytest.approx(
        [2.0, 1.0, 1.0, 1.0, 0.0]
    )
    assert hours.shares([]) == []


def test_no_price_is_no_cost_and_not_zero(live, asked, as_owner, url):
    asked(1, timezone.now())
    page = as_owner.get(url("monitor")).content.decode()
    assert "not set" in page
    assert "€0.00" not in page
    assert costs.Price.of(live).cost(hours.Sum(5, 0, 100, 100, 9.0)) is None


def test_a_price_of_an_hour_and_of_tokens(live, asked, as_editor, url):
    asked(10, timezone.now(), seconds=36.0, prompt_tokens=1_000_000, tokens=500_000)
    given = {"currency": "EUR", "hour": "2", "read": "0.5", "written": "1.5"}
    assert as_editor.post(url("price"), given).status_code == 302
    reply = as_editor.get(url("monitor"))
    assert reply.context["cost"] == "€1.27"  # 0.02 + 0.50 + 0.75
    assert "the mailbox" in reply.content.decode()
    as_editor.post(url("price"), {"currency": "EUR"})
    assert as_editor.get(url("monitor")).context["cost"] == ""


def test_a_price_that_is_none_is_asked_for_again(live, as_editor, url):
    reply = as_editor.post(url("price"), {"currency": "EUR", "hour": "-1"})
    assert reply.status_code == 422
    assert Deployment.objects.get().hour_price is None


def test_what_a_key_has_cost_this_month(live, asked):
    costs.set_price(deployment=live, currency="USD", hour=None, read=None, written=100)
    key = asked(10, tokens=5_000).key
    asked(60 * 24 * 10, tokens=90_000)  # in February
    assert costs.spent_by(key, NOW) == {"USD": pytest.approx(0.5)}
    hours.catch_up(NOW, most=99)
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
def test_money_is_never_rounded_to_nothing(amount, words):
    assert costs.money(amount, "EUR") == words


def test_every_range_and_a_poll(live, asked, as_viewer, url):
    asked(5, timezone.now())
    for name in (*picture.RANGES, "year", ""):
        reply = as_viewer.get(url("monitor"), {"range": name})
        assert reply.context["whole"].sum.requests == 1
    poll = as_viewer.get(url("monitor"), headers={"HX-Request": "true"}).content.decode()
    assert poll.lstrip().startswith('<div id="figures"')
    assert "every 30s" in poll


def test_what_failed_is_said_in_words(live, asked, as_viewer, url):
    asked(5, timezone.now(), status=429, error="engine_busy")
    page = as_viewer.get(url("monitor")).content.decode()
    assert "The model was busy" in page
    assert "of which one failed" in page


def test_what_pages_of_ours_ask_is_named(live, asked, as_viewer, url):
    asked(5, timezone.now(), key=None)
    assert "A page of ours" in as_viewer.get(url("monitor")).content.decode()


def test_nothing_is_live_yet(goal, as_viewer, url):
    assert as_viewer.get(url("monitor")).url == url("page")


def test_who_may_look_and_who_may_set_a_price(live, as_viewer, as_stranger, url):
    assert as_viewer.get(url("monitor")).status_code == 200
    assert as_viewer.post(url("price"), {"currency": "EUR"}).status_code == 403
    assert as_stranger.get(url("monitor")).status_code == 404
    assert as_stranger.post(url("price"), {"currency": "EUR"}).status_code == 404


def test_another_team_s_requests_are_not_counted(live, asked, stranger):
    asked(5)
    theirs = stranger.teams.get()
    Request.objects.create(team=theirs, model="x", status=200, seconds=1, at=NOW)
    assert picture.of(live, DAY, NOW).whole.sum.requests == 1
    assert set(costs.by_deployment(live.team_id, NOW - timedelta(days=1))) == {live.pk}

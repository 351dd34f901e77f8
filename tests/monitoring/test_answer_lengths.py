"""Lengths of answers and refusals over time, where no text is stored."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from finetune_app.monitoring import timeseries
from finetune_app.request_log import recording, rollups
from finetune_app.request_log.histogram import LengthHistogram
from finetune_app.request_log.models import HourlyAnswers, Request, Transcript

NOW = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
DAY = timeseries.RANGES["day"]


@pytest.fixture
def answered(live):
    """answered("I'm sorry…", tokens=9, ago=5) records an answer of five minutes ago."""

    def record(
        answer: str | None, *, tokens: int = 3, ago: float = 5, now: datetime = NOW, **facts
    ):
        given = {"status": 200, "seconds": 0.5, "at": now - timedelta(minutes=ago)} | facts
        return recording.record(
            key=None,
            deployment=live,
            release=live.current,
            model=live.name,
            prompt_tokens=9,
            tokens=tokens,
            answer=answer,
            **given,
        )

    return record


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ("repair_status", False),
        ("I'm sorry, but I can't help with that.", True),
        ("  As an AI language model, I have no opinions.", True),
        ("Leider kann ich das nicht beantworten.", True),
        ("I can help you with that.", False),
        ("I'm sorry to hear that. Bring it in on Monday.", False),
        ("You asked whether I can't or won't: neither.", False),
        ("", False),
        (None, None),  # embeddings have no text answer
    ],
)
def test_refusals_are_recognised(answered, answer, refused):
    assert answered(answer).refused is refused
    assert not Transcript.objects.exists()


def test_failed_requests_are_neither_refusal_nor_answer(answered):
    assert answered("I can't", status=503, error="model_failed").refused is None


def test_rollups_keep_lengths_and_refusals(live, answered):
    for tokens, ago in ((10, 5), (10, 70), (40, 75), (400, 3000)):
        answered("order_status", tokens=tokens, ago=ago)
    answered("I cannot do that.", tokens=5, ago=80)
    answered(None, tokens=0, ago=81)
    before = timeseries.timeseries_of(live, DAY, NOW)
    while rollups.roll_up_finished_hours(NOW):
        pass
    after = timeseries.timeseries_of(live, DAY, NOW)
    assert HourlyAnswers.objects.filter(refused=1).count() == 1
    assert before.total == after.total
    assert before.points == after.points
    assert (after.total.text_answers, after.total.refused) == (
        4,
        1,
    )  # one is older than a day
    assert (after.total.length_p50, after.total.length_p95) == (10, 40)
    assert after.total.refused_share == 0.25


@pytest.mark.parametrize(
    ("tokens", "bucket"),
    [
        (0, 0),
        (1, 1),
        (44, 44),
        (99, 99),
        (104, 100),
        (105, 100),
        (129, 130),
        (1234, 1200),
        (99_900, 100_000),
    ],
)
def test_lengths_are_exact_below_100_and_rounded_to_two_digits_above(tokens, bucket):
    assert LengthHistogram.of([tokens]).quantile(0.5) == bucket


def test_requests_without_a_known_length_leave_a_gap(live, answered):
    Request.objects.filter(pk=answered("order_status", ago=130).pk).update(refused=None)
    answered("order_status", ago=5)
    lengths = [point.length_p50 for point in timeseries.timeseries_of(live, DAY, NOW).points]
    assert lengths.count(None) == len(lengths) - 1


def test_the_page_charts_both_and_links_to_the_refusals(live, answered, as_viewer, url):
    now = timezone.now()
    for answer in ["order_status"] * 3 + ["I'm unable to answer that."]:
        answered(answer, tokens=12, now=now)
    reply = as_viewer.get(url("monitoring:page"))
    page = reply.content.decode()
    assert {"lengths", "refused"} <= set(reply.context["charts"])
    assert "1 of 4 answers refused" in page  # the chart in words
    assert "?status=refused" in page
    listed = as_viewer.get(url("request_log:page"), {"status": "refused"}).context["page"].requests
    assert [one.refused for one in listed] == [True]


def test_without_answers_there_is_no_chart(live, as_viewer, url):
    reply = as_viewer.get(url("monitoring:page"))
    assert "lengths" not in reply.context["charts"]
    assert "Once it has answered" in reply.content.decode()

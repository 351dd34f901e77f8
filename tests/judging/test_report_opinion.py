"""What judges said stands in the report, in the tables of answers and in the model card."""

import csv
import io
import json

import pytest
from django.urls import reverse

from finetune_app.evaluation.models import Vote
from finetune_app.evaluation.report.contents import report_of
from finetune_app.evaluation.report.sections import Section
from finetune_app.jobs.models import State
from finetune_app.judging import services
from finetune_app.model_export.model_card import adapter_card
from tests import journey
from tests.judging import planted_judges
from tests.judging.conftest import start


@pytest.fixture
def download(as_viewer, goal, tested):
    def download(form: str) -> str:
        address = reverse("evaluation:download", args=[goal.pk, tested.pk, form])
        answer = as_viewer.get(address)
        return b"".join(answer).decode("utf-8-sig")

    return download


def judge_section(evaluation) -> Section | None:
    found = [one for one in report_of(evaluation).sections if one.title == "What a judge says"]
    return found[0] if found else None


def test_where_no_judge_was_asked_nothing_is_said(tested, download):
    assert judge_section(tested) is None
    assert "Judge" not in adapter_card(tested.ours.training)
    assert "Judge" not in download("csv").splitlines()[0]
    assert "opinions" not in json.loads(download("jsonl").splitlines()[0])


def test_a_judge_that_passed_is_said_with_what_it_is_worth(ask, wanted, tested, endpoint):
    ask(planted_judges.good(wanted))
    section = judge_section(tested)
    (said,) = section.facts
    assert said.name == f"Judge: {endpoint.name}"
    assert said.value == "The judge prefers the tuned model."
    assert "Both orders agreed on 100% of the pairs" in said.note
    assert "nobody has checked it" in said.note
    assert "It decides nothing" in section.text[0]


def test_its_agreement_with_people_has_its_interval(ask, wanted, tested, owner):
    ask(planted_judges.good(wanted))
    for row in tested.comparisons.filter(outcome="better")[:12]:
        Vote.objects.create(
            evaluation=tested, index=row.index, by=owner, choice="ours", left_was="base"
        )
    (said,) = judge_section(tested).facts
    assert "on 12 of 12 prompts (76% to 100%). It agrees with your people." in said.note


def test_of_a_refused_judge_the_reason_is_said_and_not_its_opinion(ask, tested, download):
    ask(planted_judges.longer)
    (said,) = judge_section(tested).facts
    assert said.value == "Refused for bias"
    assert said.note.startswith("It prefers the longer answer, even where that is wrong.")
    assert said.note.endswith("So what it preferred is not shown.")
    assert "Judge" not in download("csv").splitlines()[0]


def test_of_one_that_contradicts_itself_the_agreement_of_orders_is_said(ask, tested):
    ask(planted_judges.first_place)
    (said,) = judge_section(tested).facts
    assert "agreed on 0 of" in said.note
    assert "at least 65% are needed" in said.note


def test_every_judge_that_was_asked_is_named(ask, wanted, tested, endpoint):
    """Whoever asks until one agrees shows the others, too."""
    ask(planted_judges.longer)
    ask(planted_judges.good(wanted))
    journey.set_state(start(tested, endpoint).job, State.FAILED)
    said = judge_section(tested).facts
    assert [one.value for one in said] == [
        "Refused for bias",
        "The judge prefers the tuned model.",
        "Asked, and not finished",
    ]
    assert [one.name[-2:] for one in said] == [" 1", " 2", " 3"]


def test_deleted_opinions_are_counted(ask, wanted, tested):
    """Whoever deletes those that disagreed does not show the last one alone."""
    for judge in (planted_judges.longer, planted_judges.good(wanted), planted_judges.good(wanted)):
        services.delete(run=ask(judge))
    ask(planted_judges.good(wanted))
    tested.refresh_from_db()
    *heard, deleted = judge_section(tested).facts
    assert len(heard) == 1
    assert (deleted.name, deleted.value) == ("Deleted opinions", "2"), "a refused one said nothing"


def test_one_that_is_still_asked_has_nothing_to_say(tested, endpoint):
    start(tested, endpoint)
    assert judge_section(tested) is None


def test_the_report_and_the_card_hold_it(ask, wanted, tested, download, endpoint):
    ask(planted_judges.good(wanted))
    page, card = download("html"), adapter_card(tested.ours.training)
    for said in ("The judge prefers the tuned model", "It decides nothing"):
        assert said in page
        assert said in card


def test_the_tables_hold_what_it_preferred_beside_the_result(
    ask, wanted, tested, download, endpoint
):
    ask(planted_judges.good(wanted))
    rows = list(csv.DictReader(io.StringIO(download("csv"))))
    name = f"Judge: {endpoint.name}"
    assert {row[name] for row in rows} == {"better", "same"}
    assert all(row[name] == row["result"] for row in rows)  # it judges as the measure does
    first = json.loads(download("jsonl").splitlines()[0])
    assert first["opinions"] == [{"by": name, "result": first["result"]}]

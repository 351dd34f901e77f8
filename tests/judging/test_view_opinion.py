"""What the pages say about a judge: beside the verdict, and on its own page."""

import pytest
from django.urls import reverse

from finetune_app.jobs.models import State
from tests import journey
from tests.judging import planted_judges
from tests.judging.conftest import start
from tests.page_text import compact


@pytest.fixture
def verdict_page(as_editor, goal, tested):
    address = reverse("evaluation:detail", args=[goal.pk, tested.pk])
    return lambda client=as_editor: compact(client.get(address))


def test_the_verdict_page_offers_editors_a_judge(verdict_page, as_viewer):
    assert "Ask a judge" in verdict_page()
    assert "it never changes the verdict" in verdict_page()
    assert "Ask a judge" not in verdict_page(as_viewer)


def test_no_judge_is_offered_while_the_evaluation_runs(as_editor, goal, tested, owner):
    tested.comparisons.all().delete()
    page = as_editor.get(reverse("evaluation:detail", args=[goal.pk, tested.pk])).content.decode()
    assert "Ask a judge" not in page


def test_an_opinion_stands_beside_the_verdict(
    verdict_page, ask, wanted, tested, endpoint, as_viewer
):
    ask(planted_judges.good(wanted))
    page = verdict_page(as_viewer)
    assert endpoint.name in page
    assert "The judge prefers the tuned model." in page
    assert "control pairs" in page
    assert tested.verdict["headline"] in page
    assert "Ask another judge" in verdict_page()


def test_a_refused_judge_is_named_with_its_bias_and_nothing_else(verdict_page, ask):
    ask(planted_judges.longer)
    page = verdict_page()
    assert "Refused for bias" in page
    assert "It prefers the longer answer, even where that is wrong." in page
    assert "preferred the tuned model on" not in page


def test_one_that_is_still_asked_says_so(verdict_page, tested, endpoint):
    start(tested, endpoint)
    assert "It is being asked." in verdict_page()


def test_the_page_of_an_opinion_shows_each_test_and_each_prompt(
    ask, wanted, as_viewer, url, tested
):
    run = ask(planted_judges.good(wanted))
    page = compact(as_viewer.get(url("detail", run.pk)))
    assert "This does not change the verdict." in page
    assert "Right, though the wrong answer is longer" in page
    assert page.count("Passed") == 6
    assert "Failed" not in page
    assert "If there were no real difference" in page
    assert tested.comparisons.first().prompt in page
    assert "The right topic and due date, and nothing else." in page


def test_the_page_of_a_refused_judge_shows_which_test_it_failed(ask, as_viewer, url):
    run = ask(planted_judges.longer)
    page = compact(as_viewer.get(url("detail", run.pk)))
    assert "what it preferred is not shown" in page
    assert "Where the wrong answer was the longer one, it chose the right one on 0 of" in page
    assert "Failed" in page
    assert "Prompt by prompt" not in page


def test_of_a_judge_that_contradicts_itself_only_that_is_shown(ask, as_viewer, url):
    run = ask(planted_judges.first_place)
    page = compact(as_viewer.get(url("detail", run.pk)))
    assert "agreed on 0 of" in page
    assert "at least 65% are needed" in page
    assert "Both orders gave the same answer" in page
    assert "Right, though the wrong answer is longer" not in page


def test_long_lists_have_pages(ask, wanted, as_viewer, url, monkeypatch):
    monkeypatch.setattr("finetune_app.judging.presenters.PAGE_SIZE", 5)
    run = ask(planted_judges.good(wanted))
    page = as_viewer.get(url("detail", run.pk)).content.decode()
    assert "?after=4#prompts" in page
    later = as_viewer.get(url("detail", run.pk), {"after": "4"})
    assert later.context["prompts"][0].comparison.index == 5
    assert as_viewer.get(url("detail", run.pk), {"after": "x"}).status_code == 200


def test_a_failed_run_says_why(tested, endpoint, as_viewer, url):
    run = start(tested, endpoint)
    journey.set_state(run.job, State.FAILED, message="The key is not accepted.")
    page = compact(as_viewer.get(url("detail", run.pk)))
    assert "It could not continue" in page
    assert "The key is not accepted." in page


def test_somebody_who_watches_is_brought_to_the_result(ask, wanted, as_viewer, url):
    run = ask(planted_judges.good(wanted))
    reply = as_viewer.get(
        url("detail", run.pk), headers={"HX-Request": "true", "HX-Target": "live"}
    )
    assert reply.status_code == 204
    assert reply["HX-Refresh"] == "true"


def test_what_people_and_models_wrote_is_escaped(ask, wanted, tested, as_viewer, url, endpoint):
    run = ask(planted_judges.good(wanted))
    endpoint.name = run.rubric = "<b>bold</b>"
    endpoint.save()
    run.save()
    tested.comparisons.update(prompt="<b>bold</b>")
    assert "<b>bold</b>" not in as_viewer.get(url("detail", run.pk)).content.decode()

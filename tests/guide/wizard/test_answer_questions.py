"""Answer the questions of the wizard, go back, and skip some."""

import html

import pytest
from django.urls import reverse

from finetune_app.checks import services as checks
from finetune_app.datasets.services import add_rows, dataset_of
from finetune_app.guide.models import Advice
from finetune_app.guide.wizard import services
from finetune_app.guide.wizard.question_screens import ALL
from finetune_app.knowledge.models import Document, Knowledge
from tests import journey
from tests.guide.wizard.conftest import READY


def post(browser, url, question, **given):
    return browser.post(url("question", question=question), given)


def test_choosing_a_measure_leads_to_the_first_question(as_editor, goal, url):
    reply = as_editor.post(
        reverse("goals:measure", args=[goal.pk]), {"measure": "choice"}, follow=True
    )
    assert reply.redirect_chain[-1][0] == url("question", question="improve")
    page = reply.content.decode()
    assert "What should get better?" in page
    assert "Why we ask" in page
    assert "Question 1 of 8" in page


def test_the_last_of_eight_questions_gives_two_answers():
    assert [screen.name for screen in ALL] == [
        "improve",
        "tried_prompt",
        "facts_change",
        "needs_sources",
        "documents",
        "pairs",
        "test_questions",
        "use",
    ]
    both = {frozenset(card.gives.items()) for card in ALL[-1].cards}
    assert len(both) == 4


def test_an_answer_is_stored_and_leads_to_the_next_question(as_editor, goal, url):
    reply = post(as_editor, url, "improve", answer="tone", go="next")
    assert reply["Location"] == url("question", question="tried_prompt")
    back = post(as_editor, url, "tried_prompt", answer="inconsistent", go="back")
    assert back["Location"] == url("question", question="improve")
    assert goal.advices.draft().answers == {"improve": "tone", "tried_prompt": "inconsistent"}
    page = as_editor.get(url("question", question="tried_prompt")).content.decode()
    assert 'value="inconsistent" id="id_answer_2" checked' in " ".join(page.split())


def test_going_back_without_an_answer_keeps_the_others(as_editor, goal, url):
    post(as_editor, url, "improve", answer="tone")
    post(as_editor, url, "tried_prompt", go="back")
    assert goal.advices.draft().answers == {"improve": "tone"}
    first = post(as_editor, url, "improve", answer="tone", go="back")
    assert first["Location"] == reverse("goals:measure", args=[goal.pk])


def test_a_question_needs_an_answer_or_a_skip(as_editor, goal, url):
    reply = post(as_editor, url, "improve", go="next")
    assert reply.status_code == 422
    assert "Choose one, or skip this question." in reply.content.decode()
    assert not goal.advices.exists()
    post(as_editor, url, "improve", answer="tone", go="skip")
    assert goal.advices.draft().answers == {"improve": None}


def test_an_unknown_answer_is_rejected(as_editor, goal, url):
    assert post(as_editor, url, "improve", answer="magic").status_code == 422
    assert post(as_editor, url, "pairs", number="-3").status_code == 422
    assert post(as_editor, url, "pairs", number="9" * 12).status_code == 422
    assert as_editor.get(url("question", question="magic")).status_code == 404
    assert not goal.advices.exists()


def test_the_last_change_of_card_or_number_counts(as_editor, goal, url):
    post(as_editor, url, "pairs", number="28")
    assert goal.advices.draft().answers == {"pairs": 28}
    assert 'value="28"' in as_editor.get(url("question", question="pairs")).content.decode()
    post(as_editor, url, "pairs", number="28", answer="200")  # the card was chosen last
    assert goal.advices.draft().answers == {"pairs": 200}
    post(as_editor, url, "pairs", number="31", answer="200")  # the number was typed last
    assert goal.advices.draft().answers == {"pairs": 31}


def test_the_wizard_continues_at_the_first_open_question(as_editor, as_owner, url):
    post(as_editor, url, "improve", answer="tone")
    post(as_editor, url, "tried_prompt", go="skip")
    reply = as_owner.get(url("advice"))
    assert reply["Location"] == url("question", question="facts_change")


def test_known_facts_are_shown_and_not_asked_about(as_editor, goal, owner, url):
    journey.freeze(goal, owner)
    knowledge = Knowledge.objects.create(goal=goal)
    for state in (Document.State.READY, Document.State.READY, Document.State.FAILED):
        Document.objects.create(knowledge=knowledge, name="Prices.pdf", state=state)
    page = html.unescape(as_editor.get(url("question", question="improve")).content.decode())
    tests = dataset_of(goal).examples.filter(split="test").count()
    assert "You have 60 examples" in page
    assert f"{tests} of them are kept back to test with" in page
    assert "You have 2 documents" in page
    assert "Question 1 of 5" in page
    for name in ("pairs", "documents", "test_questions"):
        reply = as_editor.get(url("question", question=name))
        assert reply["Location"] == url("advice")  # as for one that is open in another tab


def test_private_data_found_by_a_check_is_not_asked_about(as_editor, goal, editor, url):
    asked = {"role": "user", "content": "Write to priya.nair@posteo.de about her bike, please."}
    rows = [{"messages": [asked, {"role": "assistant", "content": "Done."}], "split": ""}]
    add_rows(dataset=dataset_of(goal), by=editor, rows=rows)
    checks.run_checks(dataset_of(goal))
    page = as_editor.get(url("question", question="heavy_use")).content.decode()
    assert "There is private data in your examples" in page
    assert as_editor.get(url("question", question="use"))["Location"] == url("advice")


def test_the_last_answer_leads_to_the_advice(as_editor, goal, editor, url):
    for screen in ALL[:-1]:
        value = READY[screen.name]
        if screen.counts:
            post(as_editor, url, screen.name, number=value)
        else:
            post(as_editor, url, screen.name, answer=str(value).lower())
    reply = post(as_editor, url, "use", answer="neither")
    assert reply["Location"] == url("advice")
    advice = goal.advices.get()
    assert (advice.recommendation, advice.by) == ("fine_tune", editor)
    assert advice.answers == READY
    assert advice.finished_at


def test_all_questions_can_be_skipped_at_once(as_editor, goal, url):
    post(as_editor, url, "improve", answer="tone")
    reply = as_editor.post(url("skip"))
    assert reply["Location"] == reverse("datasets:page", args=[goal.pk])
    goal.refresh_from_db()
    assert goal.method == "fine_tune"
    advice = Advice.objects.get()
    assert (advice.recommendation, advice.chosen) == ("", "fine_tune")
    # The questions are shown again only on request.
    assert as_editor.get(url("onward"))["Location"] == reverse("datasets:page", args=[goal.pk])
    assert as_editor.get(url("advice"))["Location"] == url("question", question="tried_prompt")


def test_skipping_keeps_the_answers_of_an_earlier_advice(as_editor, goal, url, advised, owner):
    first = advised(**READY)
    as_editor.post(url("skip"))
    assert services.latest_answers(goal) == first.answers
    assert services.finish(goal=goal, user=owner).answers == first.answers


@pytest.mark.parametrize("method", ["prompt", "rag", "rag_then_fine_tune"])
def test_after_skipping_another_method_can_be_chosen(as_editor, goal, url, method):
    as_editor.post(url("skip"), {"method": method})
    goal.refresh_from_db()
    assert goal.method == method


def test_a_viewer_may_read_but_not_answer(as_viewer, goal, url):
    page = as_viewer.get(url("advice"))
    assert page.status_code == 200
    assert "Nobody has asked for advice yet." in page.content.decode()
    assert as_viewer.get(url("question", question="improve")).status_code == 403
    for name in ("skip", "take", "advise_again"):
        assert as_viewer.post(url(name)).status_code == 403
    assert as_viewer.get(url("onward"))["Location"] == reverse("datasets:page", args=[goal.pk])
    assert not goal.advices.exists()


def test_another_team_gets_404(as_stranger, url):
    assert as_stranger.get(url("advice")).status_code == 404
    assert post(as_stranger, url, "improve", answer="tone").status_code == 404


def test_other_http_methods_are_rejected(as_owner, url):
    assert as_owner.post(url("advice")).status_code == 405
    assert as_owner.get(url("take")).status_code == 405
    assert as_owner.get(url("skip")).status_code == 405

"""The page with the advice: reasons, deferred methods, confidence, and later changes."""

import html

import pytest
from django.urls import reverse

from finetune_app.goals import services as goals
from finetune_app.guide.wizard import services
from finetune_app.guide.wizard.question_screens import ALL
from tests import journey
from tests.guide.wizard.conftest import READY


def read(browser, address: str) -> str:
    reply = browser.get(address)
    assert reply.status_code == 200
    return " ".join(html.unescape(reply.content.decode()).split())


def test_the_advice_quotes_the_answers(as_viewer, advised, url):
    advised(**READY)
    page = read(as_viewer, url("advice"))
    assert "<h1>Teach a model.</h1>" in page
    assert "<q>It answers in the wrong form</q> Your answer to question 1" in page
    assert "Our advice, from your 8 answers" in page
    assert "Quite sure." in page
    assert "LIMA: Less Is More for Alignment" in page
    assert "<b>Documents.</b> Not needed so far" in page


def test_skipped_questions_are_not_quoted(as_owner, advised, url):
    advised(improve="format", tried_prompt="inconsistent", pairs=300, test_questions=20)
    page = read(as_owner, url("advice"))
    letter = page[page.index('<article class="letter">') : page.index("</article>")]
    for word in ("Hardly ever", "No, nothing written down", "Everybody may read it"):
        assert word not in letter
    assert "Fairly sure. What you skipped could still change it:" in letter
    assert "“Must an answer name its source?”" in letter
    assert "If the facts changed every week, we would say: gather your documents" in letter


def test_missing_examples_are_counted(as_owner, advised, url):
    advised(**READY | {"pairs": 6})
    assert "Collect about 44 more examples first." in read(as_owner, url("advice"))


def test_counted_facts_are_not_called_answers(as_owner, goal, owner, advised, url):
    journey.freeze(goal, owner)
    advised(**READY | {"pairs": 6})
    page = read(as_owner, url("advice"))
    assert "<q>60 examples</q> Counted here" in page
    assert "6 examples</q> Your answer" not in page


def test_the_button_chooses_the_advised_method(as_editor, goal, advised, url):
    advice = advised(**READY | {"improve": "facts", "documents": 50})
    assert advice.recommendation == "rag"
    assert "Add documents" in read(as_editor, url("advice"))
    as_editor.post(url("take"))
    goal.refresh_from_db()
    advice.refresh_from_db()
    assert (goal.method, advice.chosen) == ("rag", "rag")


@pytest.mark.parametrize(
    ("changed", "method", "verb"),
    [
        ({"pairs": 6}, "fine_tune", "Write more"),
        ({"test_questions": 0}, "fine_tune", "Write questions"),
        ({"tried_prompt": "good_enough"}, "prompt", "Write questions"),
        ({"tried_prompt": "no"}, "prompt", "Write questions"),
    ],
)
def test_missing_examples_are_collected_in_the_dataset(
    as_editor, goal, advised, url, changed, method, verb
):
    advised(**READY | changed)
    assert f'value="{method}">{verb}</button>' in read(as_editor, url("advice"))
    reply = as_editor.post(url("take"))
    where = "labelling:ideas" if verb == "Write more" else "datasets:page"
    assert reply["Location"] == reverse(where, args=[goal.pk])
    goal.refresh_from_db()
    assert goal.method == method


def test_another_method_may_be_chosen(as_editor, goal, advised, url):
    advised(**READY)
    as_editor.post(url("take"), {"method": "prompt"})
    goal.refresh_from_db()
    assert goal.method == "prompt"
    reply = as_editor.post(url("take"), {"method": "magic"})
    assert reply.status_code == 422
    goal.refresh_from_db()
    assert goal.method == "prompt"


def test_without_advice_no_method_can_be_chosen(as_editor, goal, url):
    assert as_editor.post(url("take")).status_code == 422
    assert as_editor.post(url("advise_again")).status_code == 409


def test_the_three_methods_are_compared(as_viewer, advised, url):
    advised(**READY)
    page = read(as_viewer, url("advice"))
    for words in (
        "Good for",
        "Cost",
        "Time",
        "It is expensive.",
        "Good data takes weeks.",
        "It forgets other things.",
        "It takes expertise.",
    ):
        assert words in page
    assert page.count("doctor fresh from medical school") == 1


def test_a_viewer_may_read_but_not_change_the_advice(as_viewer, advised, url):
    advised(**READY)
    page = read(as_viewer, url("advice"))
    assert "You can read this; an editor" in page
    assert url("take") not in page
    assert ">Change<" not in page


# ---- Later ----


def test_changed_facts_are_shown_and_give_new_advice(as_editor, goal, owner, advised, url):
    first = advised(**READY | {"pairs": 6, "test_questions": 10})
    assert "Since this was written" not in read(as_editor, url("advice"))
    journey.freeze(goal, owner)
    page = read(as_editor, url("advice"))
    assert "Since this was written, things have changed: You have 60 examples" in page
    assert "Today we would say: “Teach a model.”" in page

    assert as_editor.post(url("advise_again"))["Location"] == url("advice")
    newest = goal.advices.first()
    assert newest.pk != first.pk
    assert (newest.recommendation, newest.known["pairs"]) == ("fine_tune", 60)
    page = read(as_editor, url("advice"))
    assert "Since this was written" not in page
    assert "Earlier advice" in page
    assert url("earlier", advice_id=first.pk) in page


def test_changed_facts_may_keep_the_advice(as_editor, goal, owner, advised, url):
    advised(**READY | {"pairs": 55})
    journey.freeze(goal, owner)
    assert "The advice stays the same." in read(as_editor, url("advice"))


def test_earlier_advice_stays_unchanged(as_viewer, goal, owner, advised, url):
    first = advised(**READY | {"pairs": 6})
    services.answer(goal=goal, user=owner, screen=ALL[5], given={"pairs": 300})
    services.finish(goal=goal, user=owner)
    page = read(as_viewer, url("earlier", advice_id=first.pk))
    assert "Collect about 44 more examples first." in page
    assert "This is earlier advice" in page
    assert url("take") not in page


def test_repeated_answers_give_one_advice(goal, owner, advised):
    advised(**READY)
    advised(**READY)
    assert goal.advices.count() == 1
    services.answer(goal=goal, user=owner, screen=ALL[0], given={"improve": "tone"})
    services.finish(goal=goal, user=owner)
    assert goal.advices.count() == 2


def test_advice_of_another_goal_is_not_found(as_owner, goal, team, advised):
    advice = advised(**READY)
    other = goals.create_goal(
        team=team, user=None, name="Other", description="", kind="task", pairs=[]
    )
    address = reverse("guide:earlier", args=[other.pk, advice.pk])
    assert as_owner.get(address).status_code == 404

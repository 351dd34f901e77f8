"""Prefer one of two answers on the chat page: both become a training pair."""

import json

import pytest

from finetune_app.candidates.conversation import MAX_TURNS
from finetune_app.datasets.models import Example, Split, Status
from finetune_app.datasets.services import dataset_of
from tests.candidates.workbench_helpers import HELLO, HTMX, text

QUESTION = "Do you also mend unicycles?"


@pytest.fixture
def dataset(goal, trained):
    return dataset_of(goal)


def choice(better: str, question: str = QUESTION, **answers: str) -> dict[str, str]:
    turn = {"asked": question, "base": "No.", "tuned": "We do, bring it in!"} | answers
    return {"better": better, "history": json.dumps([turn])}


def test_the_buttons_are_beside_the_first_answers_of_editors(
    as_editor, as_viewer, trained, engine_requests, url
):
    first = as_editor.post(url("chat"), HELLO)
    page = text(first)
    shown, template = page.split('<template id="turn">')[:2]
    assert shown.count("This one is better") == 2
    assert template.count("This one is better") == 2
    again = {"question": "And now?", "history": first.context["history"]}
    shown = text(as_editor.post(url("chat"), again)).split('<template id="turn">')[0]
    assert shown.count("This one is better") == 2  # later answers follow different conversations
    assert "This one is better" not in text(as_viewer.post(url("chat"), HELLO))


def test_one_candidate_alone_cannot_be_preferred(as_editor, trained, engine_requests, url):
    option = as_editor.get(url("chat")).context["options"][0].key
    page = text(as_editor.post(url("chat") + f"?a={option}&b={option}", HELLO))
    assert "This one is better" not in page


def test_both_answers_become_an_approved_pair(as_editor, dataset, url):
    page = text(as_editor.post(url("prefer"), choice("tuned"), headers=HTMX))
    example = dataset.examples.latest("number")
    assert (example.prompt, example.answer) == (QUESTION, "We do, bring it in!")
    assert (example.rejected, example.status) == ("No.", Status.APPROVED)
    assert "preferred to" in example.source
    assert example.changed_by.name == "Jonas"
    assert f"Kept as {example} of your examples" in page


def test_without_javascript_the_example_is_opened(as_editor, dataset, url):
    reply = as_editor.post(url("prefer"), choice("base"))
    example = dataset.examples.latest("number")
    assert reply.url.endswith(f"/examples/{example.number}/")
    assert (example.answer, example.rejected) == ("No.", "We do, bring it in!")


def test_a_second_click_adds_nothing_and_another_mind_turns_the_pair(as_editor, dataset, url):
    before = dataset.examples.count()
    for _click in range(2):
        as_editor.post(url("prefer"), choice("tuned"), headers=HTMX)
    assert dataset.examples.count() == before + 1
    as_editor.post(url("prefer"), choice("base"), headers=HTMX)
    example = dataset.examples.latest("number")
    assert dataset.examples.count() == before + 1
    assert (example.answer, example.rejected) == ("No.", "We do, bring it in!")


@pytest.mark.parametrize("in_trash", [False, True])
def test_a_test_question_never_becomes_a_pair(as_editor, dataset, url, in_trash):
    row = dataset.examples.filter(split=Split.TEST).first()
    if in_trash:
        dataset.examples.filter(pk=row.pk).update(deleted_at=row.changed_at)
    before = Example.objects.count()
    asked = f"  {row.prompt.upper()} "
    page = text(as_editor.post(url("prefer"), choice("tuned", asked), headers=HTMX))
    assert "This is one of the test questions" in page
    reply = as_editor.post(url("prefer"), choice("tuned", asked))
    assert reply.status_code == 409
    assert "Ask something else" in text(reply)
    assert Example.objects.count() == before
    assert not Example.objects.exclude(rejected="").exists()


@pytest.mark.parametrize(
    ("form", "why"),
    [
        (choice("tuned", base="We do, bring it in! "), "are the same"),
        (choice("tuned", base=""), "One of the two gave no answer"),
        (choice("nobody"), "no two answers to compare"),
        ({"better": "tuned", "history": "[]"}, "no two answers to compare"),
        ({"better": "tuned"}, "no two answers to compare"),
        (
            {
                "better": "tuned",
                "history": json.dumps([{"asked": "a", "base": "b", "tuned": "c"}] * MAX_TURNS),
            },
            "no two answers to compare",  # the first one may be gone
        ),
    ],
)
def test_what_compares_nothing_is_refused_in_words(as_editor, dataset, url, form, why):
    before = Example.objects.count()
    assert why in text(as_editor.post(url("prefer"), form, headers=HTMX))
    assert as_editor.post(url("prefer"), form).status_code in (400, 409)
    assert Example.objects.count() == before


def test_only_editors_of_the_team_may_prefer(as_owner, as_viewer, as_stranger, dataset, url):
    before = Example.objects.count()
    assert as_viewer.post(url("prefer"), choice("tuned")).status_code == 403
    assert as_stranger.post(url("prefer"), choice("tuned")).status_code == 404
    assert as_owner.get(url("prefer")).status_code == 405
    assert Example.objects.count() == before
    assert as_owner.post(url("prefer"), choice("tuned")).status_code == 302

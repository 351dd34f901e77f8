"""One prompt at a time, with the answers of two to five candidates, and notes."""

import pytest
from django.urls import reverse
from django.utils.html import escape

from finetune_app.evaluation.models import PromptNote
from finetune_app.evaluation.side_by_side import MAX_NOTE_CHARACTERS
from tests import journey


@pytest.fixture
def three(trained, owner):
    """Base, prompt and tuned; the tuned model is right on every second prompt."""

    def say(prompt, kind):
        if kind == "tuned" and prompt.index % 2 == 0:
            return prompt.wanted, True
        return f"{kind} says nothing of use", False

    return journey.evaluated(trained, owner, say=say, instructions="Sort the email.")


@pytest.fixture
def page_url(three, url) -> str:
    return url("side_by_side", three.pk)


@pytest.fixture
def note_url(three, url) -> str:
    return url("note", three.pk, 1)


def test_all_answers_to_the_first_prompt_are_shown(as_viewer, page_url, three):
    page = as_viewer.get(page_url).content.decode()
    assert f"Prompt 1 of {three.comparisons.count()}" in page
    assert page.count('<section class="paper"') == 3
    assert "base says nothing of use" in page
    assert "prompt says nothing of use" in page


def test_the_address_chooses_candidates_filter_and_prompt(as_viewer, page_url, three):
    shown = f"with={three.base_id}&with={three.ours_id}"
    page = as_viewer.get(f"{page_url}?{shown}&outcome=same&at=3").content.decode()
    assert page.count('<section class="paper"') == 2
    assert "Prompt 2 of" in page, "of those that are the same: 1, 3, 5, ..."
    for neighbour in (1, 5):
        assert escape(f"?{shown}&outcome=same&at={neighbour}") in page


def test_unknown_values_in_the_address_are_ignored(as_viewer, page_url):
    page = as_viewer.get(
        f"{page_url}?with=999999&with=x&at=77777&outcome=odd&q=%00"
    ).content.decode()
    assert "Prompt 1 of" in page
    assert page.count('<section class="paper"') == 3


def test_what_matches_nothing_says_so(as_viewer, page_url):
    assert "No prompt matches" in as_viewer.get(f"{page_url}?q=zzzzqqq").content.decode()


def test_a_note_is_kept_and_returns_to_its_prompt(as_editor, as_viewer, page_url, note_url, three):
    reply = as_editor.post(f"{note_url}?outcome=same&at=1", {"text": "Rude."}, follow=True)
    assert "Rude." in reply.content.decode()
    assert reply.redirect_chain[-1][0].endswith("outcome=same&at=1")
    page = as_viewer.get(f"{page_url}?at=1").content.decode()
    assert "Rude." in page
    assert "With notes" in page
    only_noted = as_viewer.get(f"{page_url}?noted=1").content.decode()
    assert "Prompt 1 of 1" in only_noted


def test_a_note_is_changed_and_deleted(as_editor, note_url):
    for text in ("Rude.", "Too short."):
        as_editor.post(note_url, {"text": text})
    assert PromptNote.objects.get().text == "Too short."
    as_editor.post(note_url, {"text": "  "})
    assert not PromptNote.objects.exists()


def test_a_note_that_is_too_long_or_of_no_prompt_is_refused(as_editor, note_url, three, url):
    assert as_editor.post(note_url, {"text": "x" * (MAX_NOTE_CHARACTERS + 1)}).status_code == 400
    assert as_editor.post(url("note", three.pk, 9999), {"text": "x"}).status_code == 404
    assert not PromptNote.objects.exists()


def test_markup_in_a_note_is_text(as_editor, note_url, page_url):
    as_editor.post(note_url, {"text": "<script>alert(1)</script>"})
    assert "<script>alert" not in as_editor.get(f"{page_url}?at=1").content.decode()


def test_before_a_blind_choice_is_counted_names_stay_hidden(as_owner, ballot, url):
    reply = as_owner.get(url("side_by_side", ballot.pk))
    assert reply.status_code == 302
    assert (
        reverse("evaluation:detail", args=[ballot.goal_id, ballot.pk]) in reply.headers["Location"]
    )


def test_only_editors_of_the_team_write_notes(
    as_viewer, as_stranger, as_editor, page_url, note_url
):
    assert as_stranger.get(page_url).status_code == 404
    assert as_viewer.post(note_url, {"text": "x"}).status_code == 403
    assert as_stranger.post(note_url, {"text": "x"}).status_code == 404
    assert as_editor.get(note_url).status_code == 405
    assert as_editor.post(page_url).status_code == 405
    assert not PromptNote.objects.exists()

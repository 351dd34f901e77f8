"""Saving a draft on the workbench, and who may do it."""

import html

from finetune_app.candidates.models import Candidate, WorkbenchDraft
from finetune_app.goals import services as goals
from tests.candidates.workbench_helpers import HTMX, text


def test_a_new_draft_has_the_goals_instructions(as_editor, ready_goal, at):
    page = text(as_editor.get(at()))
    assert "Sort each email." in page
    assert "Answer with the answer alone: no greeting, no explanation" in page
    assert not WorkbenchDraft.objects.exists()  # opening the page stores nothing


def test_typed_text_is_saved(as_editor, ready_goal, at):
    reply = as_editor.post(at("save_draft"), {"instructions": "Only  the\r\ntopic. "}, headers=HTMX)
    assert reply.status_code == 200  # new text: earlier results no longer apply
    assert "Not tried yet with these instructions" in text(reply)
    seen = reply.context["fingerprint"]
    again = as_editor.post(
        at("save_draft"), {"instructions": "Only  the\ntopic. ", "seen": seen}, headers=HTMX
    )
    assert (again.status_code, again["HX-Trigger"]) == (204, '{"saved": "Saved"}')
    assert "Only  the\ntopic. " in html.unescape(as_editor.get(at()).content.decode())


def test_every_user_has_their_own_draft(as_editor, as_owner, ready_goal, at):
    as_editor.post(at("save_draft"), {"instructions": "Mine."})
    as_owner.post(at("save_draft"), {"instructions": "Yours."})
    assert "Mine." in text(as_editor.get(at()))
    assert "Yours." in text(as_owner.get(at()))


def test_an_invalid_number_loses_no_text(as_editor, ready_goal, at):
    form = {"instructions": "New words.", "temperature": "9", "top_p": ""}
    reply = as_editor.post(at("ask_prompts"), form)
    assert reply.status_code == 422
    assert "Your text is saved." in text(reply)
    assert WorkbenchDraft.objects.get().instructions == "New words."
    as_editor.post(at("save_draft"), form | {"temperature": "0.7", "top_p": "0.9"})
    assert WorkbenchDraft.objects.get().sampling == {"temperature": 0.7, "top_p": 0.9}
    as_editor.post(at("save_draft"), form | {"temperature": "0"})
    assert WorkbenchDraft.objects.get().sampling == {}


def test_another_teams_model_cannot_be_chosen(as_editor, ready_goal, at, platform, stranger):
    theirs = platform.endpoint(stranger.teams.get(), stranger)
    as_editor.post(at("save_draft"), {"instructions": "x", "model": f"endpoint:{theirs.pk}"})
    assert WorkbenchDraft.objects.get().endpoint is None


def test_viewers_may_read_and_strangers_get_404(as_viewer, as_stranger, as_editor, ready_goal, at):
    as_editor.post(at("save_version"), {"instructions": "First."})
    kept = Candidate.objects.get(saved=True)
    assert "You can look here, but only editors can change it." in text(as_viewer.get(at()))
    for name, ids in (
        ("save_draft", ()),
        ("ask_prompts", ()),
        ("change_shots", ()),
        ("apply_hint", ()),
        ("improve", ()),
        ("save_version", ()),
        ("restore_version", (kept.pk,)),
        ("remove_version", (kept.pk,)),
    ):
        assert as_viewer.post(at(name, *ids)).status_code == 403
        assert as_stranger.post(at(name, *ids)).status_code == 404
        assert as_editor.get(at(name, *ids)).status_code == 405
    assert as_stranger.get(at("version", kept.pk)).status_code == 404


def test_without_examples_or_a_model_the_page_says_what_is_missing(as_editor, goal, at):
    page = text(as_editor.get(at()))
    assert "There are no practice prompts yet." in page
    assert "No model is here yet." in page
    reply = as_editor.post(at("ask_prompts"), {"instructions": "x"}, headers=HTMX)
    assert "Choose which model answers first." in text(reply)


def test_a_draft_is_deleted_with_its_goal(as_editor, ready_goal, at):
    as_editor.post(at("save_draft"), {"instructions": "x"})
    goals.delete_goal(goal=ready_goal)
    assert not WorkbenchDraft.objects.exists()

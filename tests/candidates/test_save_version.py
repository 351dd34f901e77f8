"""Saving, comparing, restoring and removing versions of the instructions."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.db import connection

from finetune_app.candidates import validation_prompts
from finetune_app.candidates.models import Candidate, WorkbenchDraft
from tests.candidates.workbench_helpers import answer_correctly, ask_all_prompts, text
from tests.conftest import signed_in


def test_a_kept_version_never_changes(as_editor, ready_goal, at):
    as_editor.post(at("save_version"), {"instructions": "First."})
    as_editor.post(at("save_version"), {"instructions": "Second."})
    as_editor.post(at("save_version"), {"instructions": "First."})
    kept = Candidate.objects.filter(saved=True).order_by("revision")
    assert [one.instructions for one in kept] == ["First.", "Second."]
    assert [one.revision for one in kept] == [1, 2]
    assert kept[0].name == "Instructions 1"


@pytest.mark.django_db(transaction=True)
def test_a_double_click_saves_one_version(editor, ready_goal, at, monkeypatch):
    """Not even the draft is stored yet."""
    both = threading.Barrier(2, timeout=1)
    for model in (WorkbenchDraft, Candidate):
        monkeypatch.setattr(model.objects, "create", waits_for(both, model.objects.create))
    clients = [signed_in(editor), signed_in(editor)]

    def click(client) -> int:
        try:
            return client.post(at("save_version"), {"instructions": "First."}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(click, clients)) == [302, 302]
    kept = Candidate.objects.filter(saved=True)
    assert [(one.name, one.revision) for one in kept] == [("Instructions 1", 1)]


def waits_for(both, create):
    def create_together(**given):
        with suppress(threading.BrokenBarrierError):  # the other one waits for the lock
            both.wait()
        return create(**given)

    return create_together


def test_versions_show_the_score_they_had(as_editor, ready_goal, at, fake_engine):
    fake_engine.reply_to = answer_correctly(ready_goal)
    total = len(validation_prompts.prompts_of_goal(ready_goal))
    ask_all_prompts(as_editor, at)
    as_editor.post(at("save_version"), {"instructions": "Sort it."})
    as_editor.post(at("save_draft"), {"instructions": "Something else."})
    asked = len(fake_engine.asked)
    page = text(as_editor.get(at()))
    assert f"{total} of {total} right" in page
    assert "best so far" in page
    assert len(fake_engine.asked) == asked


def test_an_empty_draft_cannot_be_saved(as_editor, ready_goal, at):
    reply = as_editor.post(at("save_version"), {"instructions": "  "})
    assert reply.status_code == 422
    assert "nothing to save yet" in text(reply)
    assert not Candidate.objects.filter(saved=True).exists()


def test_two_versions_side_by_side_say_what_changed(
    as_viewer, as_editor, ready_goal, at, fake_engine
):
    ask_all_prompts(as_editor, at)
    as_editor.post(at("save_version"), {"instructions": "Sort it."})
    fake_engine.reply_to = answer_correctly(ready_goal)
    ask_all_prompts(as_editor, at, instructions="Sort it well.")
    as_editor.post(at("save_version"), {"instructions": "Sort it well."})
    first, second = Candidate.objects.filter(saved=True).order_by("revision")
    page = text(as_viewer.get(at("version", first.pk), {"with": second.pk}))
    assert "From version 1 to version 2." in page
    assert "<ins> well</ins>" in page
    assert "1 added, 0 removed" in page
    assert "The practice prompts on which they differ" in page


def test_restoring_a_version_restores_its_prompt(as_editor, ready_goal, at):
    as_editor.post(at("change_shots"), {"pick": "1", "instructions": "First."})
    as_editor.post(at("save_version"), {"instructions": "First."})
    as_editor.post(at("save_draft"), {"instructions": "Spoiled."})
    kept = Candidate.objects.get(saved=True)
    as_editor.post(at("restore_version", kept.pk))
    draft = WorkbenchDraft.objects.get()
    assert (draft.instructions, draft.shots) == ("First.", kept.shots)


def test_removing_a_version_keeps_the_candidate(as_editor, ready_goal, at):
    as_editor.post(at("save_version"), {"instructions": "First."})
    kept = Candidate.objects.get(saved=True)
    as_editor.post(at("remove_version", kept.pk))
    assert Candidate.objects.filter(pk=kept.pk, saved=False).exists()
    assert as_editor.get(at("version", kept.pk)).status_code == 404
    as_editor.post(at("save_version"), {"instructions": "First."})
    assert Candidate.objects.get(saved=True) == kept

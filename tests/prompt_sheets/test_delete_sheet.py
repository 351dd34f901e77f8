"""A sheet is deleted with all that hangs on it, by itself or with what it belongs to."""

import pytest

from finetune_app.jobs.models import Job
from finetune_app.operations.personal_data import tables
from finetune_app.prompt_sheets.models import (
    Mark,
    PromptSheet,
    Reading,
    SheetAnswer,
    SheetNote,
    SheetPrompt,
)
from tests.prompt_sheets.conftest import place_of

ALL = (PromptSheet, SheetPrompt, SheetAnswer, Reading, Mark, SheetNote)


@pytest.fixture
def read(as_editor, url, sheet, data_dir) -> PromptSheet:
    """A sheet with a mark, a note and a folder."""
    as_editor.post(url("mark", sheet.pk, 0), {"answer": place_of(sheet, 0, "tuned")})
    as_editor.post(url("note", sheet.pk, 0), {"text": "Friendly."})
    (data_dir / "prompt_sheets" / str(sheet.pk)).mkdir(parents=True, exist_ok=True)
    assert all(model.objects.exists() for model in ALL)
    return sheet


def test_an_editor_deletes_a_sheet(
    read, as_editor, url, data_dir, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        reply = as_editor.post(url("delete", read.pk))
    assert reply["Location"] == url("page")
    assert not any(model.objects.exists() for model in ALL)
    assert not Job.objects.filter(pk=read.job_id).exists()
    assert not (data_dir / "prompt_sheets" / str(read.pk)).exists()


@pytest.mark.parametrize("what", ["goal", "team"])
def test_it_goes_with_what_it_belongs_to(read, what, django_capture_on_commit_callbacks):
    row = {"goal": read.goal, "team": read.goal.team}[what]
    with django_capture_on_commit_callbacks(execute=True):
        row.delete()
    assert not any(model.objects.exists() for model in ALL)
    assert not Job.objects.filter(pk=read.job_id).exists()


def test_a_deleted_training_takes_its_answers_along_and_leaves_the_rest(
    read, as_editor, as_viewer, url
):
    read.goal.trainings.get().delete()
    assert not Mark.objects.exists()
    for client in (as_editor, as_viewer):
        page = client.get(url("detail", read.pk)).content.decode()
        assert "base 0" in page
        assert "tuned 0" not in page


def test_what_a_person_marked_and_noted_is_theirs_and_goes_with_them(read, editor, owner):
    theirs = {model for model, _field, is_theirs in tables() if is_theirs}
    assert Reading in theirs
    editor.delete()
    assert not any(model.objects.exists() for model in (Reading, Mark, SheetNote))
    owner.delete()
    assert PromptSheet.objects.get().started_by is None

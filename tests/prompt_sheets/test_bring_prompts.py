"""Who may bring prompts, who answers them, and what the form says where something is missing."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from finetune_app.evaluation.models import Evaluation
from finetune_app.goals import services as goals
from finetune_app.prompt_sheets import forms
from finetune_app.prompt_sheets.models import PromptSheet
from tests import journey
from tests.prompt_sheets.conftest import PROMPTS


@pytest.fixture
def form():
    """A complete form: three prompts for base and tuned."""

    def build(**fields):
        complete = {"text": "\n".join(PROMPTS), "with_base": "on", "with_tuned": "on"}
        return {name: value for name, value in (complete | fields).items() if value}

    return build


def kinds(sheet: PromptSheet) -> list[str]:
    return [one.kind for one in sheet.ordered_candidates()]


def test_an_editor_brings_prompts_and_sees_them_wait(as_editor, editor, url, form, trained):
    assert "Nothing is scored" in as_editor.get(url("new")).content.decode()
    reply = as_editor.post(url("new"), form())
    sheet = PromptSheet.objects.get()
    assert reply["Location"] == url("detail", sheet.pk)
    assert list(sheet.prompts.values_list("text", flat=True)) == PROMPTS
    assert (sheet.name, sheet.started_by, sheet.job.kind) == (PROMPTS[0], editor, "prompt_sheet")
    assert kinds(sheet) == ["base", "tuned"]
    assert "About to start" in as_editor.get(url("detail", sheet.pk)).content.decode()
    assert PROMPTS[0] in as_editor.get(url("page")).content.decode()


def test_they_are_asked_as_the_last_test_was(as_editor, owner, url, form, trained):
    journey.evaluated(trained.trainings.get(), owner, in_8_bits=True)
    as_editor.post(url("new"), form())
    asked = PromptSheet.objects.get().ordered_candidates()
    assert [one.number_format for one in asked] == ["int8", "int8"]


def test_the_order_of_the_answers_is_drawn_for_each_prompt(as_editor, url, form, trained):
    as_editor.post(url("new"), form(text="\n".join(f"Prompt {n}" for n in range(60))))
    sheet = PromptSheet.objects.get()
    orders = [tuple(order) for order in sheet.prompts.values_list("order", flat=True)]
    assert {frozenset(order) for order in orders} == {
        frozenset(sheet.candidates.values_list("pk", flat=True))
    }
    assert len(set(orders)) == 2, "the same order 60 times over is no accident"


def test_it_is_no_evaluation_and_no_look_at_the_test_prompts(as_editor, url, form, trained):
    as_editor.post(url("new"), form())
    assert not Evaluation.objects.exists()
    assert not trained.looks.exists()


def test_a_file_is_read_and_names_the_sheet(as_editor, url, form, trained):
    file = SimpleUploadedFile("inbox.csv", b"prompt,answer\nIs it ready?,yes\n")
    as_editor.post(url("new"), form(text="", file=file))
    sheet = PromptSheet.objects.get()
    assert sheet.name == "inbox.csv"
    assert [one.text for one in sheet.prompts.all()] == ["Is it ready?"]


def test_a_good_prompt_answers_with_the_words_of_the_form(as_editor, url, form, trained):
    fields = {"with_base": "", "with_prompt": "on", "instructions": "Answer in one word."}
    as_editor.post(url("new"), form(**fields))
    sheet = PromptSheet.objects.get()
    assert kinds(sheet) == ["prompt", "tuned"]
    assert sheet.ordered_candidates()[0].instructions == "Answer in one word."


def test_a_second_click_asks_nobody_twice_and_other_prompts_are_another_sheet(
    as_editor, url, form, trained
):
    as_editor.post(url("new"), form())
    as_editor.post(url("new"), form())
    assert PromptSheet.objects.count() == 1
    as_editor.post(url("new"), form(text="Another?"))
    assert PromptSheet.objects.count() == 2


def test_where_people_decide_all_can_be_asked_too(as_editor, url, form, trained):
    goals.choose_measure(goal=trained, kind="choice", settings={})
    as_editor.post(url("new"), form(with_prompt="on", instructions="Be brief."))
    assert kinds(PromptSheet.objects.get()) == ["base", "prompt", "tuned"]


# ---- A model elsewhere ----


def test_a_model_elsewhere_is_asked_only_where_it_is_ticked(
    as_editor, url, form, trained, endpoint
):
    page = as_editor.get(url("new")).content.decode()
    assert "these prompts are sent to it" in page
    box = f'name="with_endpoint-{endpoint.pk}"'
    assert box in page
    assert "checked" not in page.partition(box)[2].partition(">")[0]
    as_editor.post(url("new"), form())
    assert "prompt" not in kinds(PromptSheet.objects.get())
    ticked = {f"with_endpoint-{endpoint.pk}": "on", "instructions": "Be brief."}
    as_editor.post(url("new"), form(**ticked))
    assert PromptSheet.objects.first().ordered_candidates()[1].endpoint == endpoint


def test_another_teams_model_is_no_choice(as_editor, url, form, trained, platform, stranger):
    theirs = platform.endpoint(stranger.teams.get(), stranger, model="theirs")
    reply = as_editor.post(url("new"), form(with_base="", **{f"with_endpoint-{theirs.pk}": "on"}))
    assert reply.status_code == 422
    assert not PromptSheet.objects.exists()


# ---- What is missing ----


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"text": ""}, "Paste some prompts here, or choose a file."),
        ({"text": "\n".join("x" * 201)}, "These are 201 prompts; 200 at most."),
        ({"with_base": ""}, "Choose 2 to 5"),
        ({"with_base": "", "with_tuned": ""}, "Choose 2 to 5"),
    ],
)
def test_the_form_says_what_is_missing_and_keeps_what_was_typed(
    as_editor, url, form, trained, fields, says
):
    reply = as_editor.post(url("new"), form(**fields, instructions="Be brief."))
    assert reply.status_code == 422
    page = reply.content.decode()
    assert says in page
    assert "Be brief." in page
    assert not PromptSheet.objects.exists()


def test_paste_or_file_but_not_both(as_editor, url, form, trained):
    file = SimpleUploadedFile("inbox.txt", b"Is it ready?")
    reply = as_editor.post(url("new"), form(file=file))
    assert "not both" in reply.content.decode()
    assert not PromptSheet.objects.exists()


def test_a_large_file_is_not_read(as_editor, url, form, trained, monkeypatch):
    monkeypatch.setattr(forms, "MAX_FILE_BYTES", 10)
    file = SimpleUploadedFile("inbox.txt", b"Is it ready?")
    assert (
        "Leave some prompts out"
        in as_editor.post(url("new"), form(text="", file=file)).content.decode()
    )
    assert not PromptSheet.objects.exists()


def test_without_a_base_model_nothing_can_answer(as_editor, url, form, goal):
    for reply in (as_editor.get(url("new")), as_editor.post(url("new"), form())):
        assert "Freeze a version of the dataset first" in reply.content.decode()
    assert not PromptSheet.objects.exists()


# ---- Who ----


def test_viewers_look_and_strangers_find_nothing(
    as_viewer, as_stranger, as_editor, url, form, sheet
):
    assert as_viewer.get(url("page")).status_code == 200
    assert as_viewer.get(url("detail", sheet.pk)).status_code == 200
    assert as_stranger.get(url("page")).status_code == 404
    assert as_stranger.get(url("detail", sheet.pk)).status_code == 404
    posts = [(name, sheet.pk) for name in ("show_names", "stop", "continue", "delete")]
    posts += [("new",), ("mark", sheet.pk, 0), ("note", sheet.pk, 0)]
    for name, *ids in posts:
        assert as_viewer.post(url(name, *ids), form()).status_code == 403, name
        assert as_stranger.post(url(name, *ids), form()).status_code == 404, name
        if name != "new":
            assert as_editor.get(url(name, *ids)).status_code == 405, name
    assert as_editor.put(url("new")).status_code == 405
    assert PromptSheet.objects.get() == sheet


def test_an_empty_list_leads_to_the_form_and_the_evaluation_to_the_list(
    as_editor, as_viewer, url, trained
):
    assert url("new") in as_editor.get(url("page")).content.decode()
    assert url("new") not in as_viewer.get(url("page")).content.decode()
    launch = as_editor.get(f"/goals/{trained.pk}/evaluation/").content.decode()
    assert f'href="{url("page")}"' in launch

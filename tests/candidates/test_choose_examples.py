"""Choosing few-shot examples, which must not reveal what is asked."""

import pytest

from finetune_app.candidates import few_shot, validation_prompts
from finetune_app.candidates.models import WorkbenchDraft
from finetune_app.datasets.models import Example, Split
from finetune_app.datasets.services import add_rows, dataset_of
from finetune_app.goals import services as goals
from finetune_app.goals.models import Goal
from tests import journey
from tests.candidates.workbench_helpers import HTMX, answer_correctly, ask_all_prompts, text
from tests.example_rows import conversation


def test_examples_come_from_the_train_split_only(as_editor, ready_goal, at):
    sealed = Example.objects.exclude(split=Split.TRAIN).first()
    reply = as_editor.post(at("change_shots"), {"add": sealed.pk}, headers=HTMX)
    assert "That example is gone" in text(reply)
    assert WorkbenchDraft.objects.get().shots == []
    found = [
        int(one.key)
        for one in few_shot.search(few_shot.showables(ready_goal), sealed.prompt[:20], [])
    ]
    assert not Example.objects.filter(pk__in=found).exclude(split=Split.TRAIN)


def test_an_example_is_added_and_removed(as_editor, ready_goal, at):
    example = few_shot.search(few_shot.showables(ready_goal, few_shot.SAMPLE), "", [])[0]
    as_editor.post(at("change_shots"), {"add": example.key, "instructions": "Kept too."})
    draft = WorkbenchDraft.objects.get()
    assert draft.shots == [{"prompt": example.prompt, "answer": example.answer}]
    assert draft.instructions == "Kept too."
    as_editor.post(at("change_shots"), {"add": example.key})
    assert len(WorkbenchDraft.objects.get().shots) == 1
    as_editor.post(at("change_shots"), {"drop": "0"})
    assert WorkbenchDraft.objects.get().shots == []


def test_picked_examples_have_different_answers(as_editor, ready_goal, at):
    as_editor.post(at("change_shots"), {"pick": "1"})
    picked = WorkbenchDraft.objects.get().shots
    assert len(picked) == few_shot.DEFAULT_SHOTS
    assert len({shot["answer"] for shot in picked}) == few_shot.DEFAULT_SHOTS
    assert picked == few_shot.pick(ready_goal, context_length=512)


def test_a_search_finds_training_examples(as_editor, ready_goal, at):
    example = few_shot.search(few_shot.showables(ready_goal, few_shot.SAMPLE), "", [])[0]
    page = text(as_editor.get(at(), {"q": example.prompt}, headers=HTMX))
    assert page.lstrip().startswith('<ul class="found"')
    assert f'value="{example.key}"' in page
    assert "No example contains that." in text(as_editor.get(at(), {"q": "zebra crossing"}))


@pytest.fixture
def questions(goal, owner) -> Goal:
    """A goal without a training: its examples are validation and test questions."""
    goals.choose_method(goal=goal, method="prompt")
    goal.pairs = [{"prompt": "Is it ready?", "answer": "topic: repair\ndue: today"}]
    goal.save()
    return journey.ready(goal, owner)


def test_without_a_train_split_pairs_and_validation_examples_are_shown(as_editor, questions, at):
    assert not Example.objects.filter(split=Split.TRAIN)
    page = text(as_editor.get(at()))
    assert "What is shown is not asked." in page
    as_editor.post(at("change_shots"), {"pick": "1"})
    picked = WorkbenchDraft.objects.get().shots
    assert picked[0]["prompt"] == "Is it ready?"
    assert len(picked) == few_shot.DEFAULT_SHOTS
    sealed = set(Example.objects.filter(split=Split.TEST).values_list("prompt", flat=True))
    assert not sealed & {shot["prompt"] for shot in picked}
    as_editor.post(at("change_shots"), {"drop": "0"})
    as_editor.post(at("change_shots"), {"add": "pair-0"})
    assert WorkbenchDraft.objects.get().shots[-1]["prompt"] == "Is it ready?"


def test_a_practice_prompt_that_is_shown_is_not_asked(as_editor, questions, at, fake_engine):
    total = len(validation_prompts.prompts_of_goal(questions))
    fake_engine.reply_to = answer_correctly(questions)
    assert f"{total} of {total} right" in ask_all_prompts(as_editor, at)
    shown = validation_prompts.prompts_of_goal(questions)[0]
    as_editor.post(at("change_shots"), {"add": shown.example_id})
    fake_engine.asked.clear()
    assert f"{total - 1} of {total - 1} right" in ask_all_prompts(as_editor, at)
    asked = {
        request["messages"][-1]["content"]
        for one in fake_engine.asked
        for request in one["requests"]
    }
    assert shown.prompt not in asked


def test_what_is_offered_first_is_not_what_is_asked(questions):
    """Else few prompts would be left to ask."""
    asked = {one.example_id for one in validation_prompts.prompts_of_goal(questions)}
    offered = {
        one.key
        for one in few_shot.search(few_shot.showables(questions), "", [])
        if one.key.isdecimal()
    }
    others = Example.objects.filter(split=Split.VALIDATION).exclude(pk__in=asked).count()
    assert len({key for key in offered if int(key) not in asked}) == min(others, len(offered))


def test_a_pair_that_is_also_in_the_test_is_not_shown(questions):
    sealed = Example.objects.filter(split=Split.TEST).first()
    questions.pairs = [{"prompt": sealed.prompt.upper(), "answer": sealed.answer}]
    assert few_shot.showables(questions).pairs == []
    assert few_shot.find_by_key(questions, "pair-0") is None
    assert few_shot.find_by_key(questions, str(sealed.pk)) is None


def test_among_long_examples_the_short_ones_are_picked(goal, owner):
    long = [f"{'alpha beta gamma ' * 60} {n * n}" for n in range(40)]
    short = [f"brief words {n * n * 7}" for n in range(30)]
    rows = [{"messages": conversation(prompt, "ok"), "split": "train"} for prompt in long + short]
    add_rows(dataset=dataset_of(goal), by=owner, rows=rows)
    picked = few_shot.pick(goal, context_length=512)
    assert len(picked) == few_shot.DEFAULT_SHOTS
    assert {shot["prompt"] for shot in picked} <= set(short)


def test_shots_leave_room_for_the_question(ready_goal):
    assert few_shot.fitting(
        [{"prompt": "x" * 500, "answer": "y" * 500}] * 9, context_length=1000
    ) == [{"prompt": "x" * 500, "answer": "y" * 500}]

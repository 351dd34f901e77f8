"""With a method that trains nothing, examples are validation and test questions."""

import html
from collections import Counter

import pytest
from django.urls import reverse

from finetune_app.checks import services as checks
from finetune_app.checks.fixes import apply_fix
from finetune_app.datasets.models import Split
from finetune_app.datasets.services import add_rows, dataset_of
from finetune_app.datasets.splits import WITHOUT_TRAINING, hash_fraction, split_for
from finetune_app.goals import services as goals
from finetune_app.versions.services import freeze, freeze_blocker
from tests.example_rows import conversation, pair
from tests.page_text import compact


@pytest.fixture(params=["prompt", "rag"])
def questions(request, goal):
    goals.choose_method(goal=goal, method=request.param)
    return dataset_of(goal)


def add(dataset, numbers, **more):
    rows = [{"messages": conversation(*pair(n)), **more} for n in numbers]
    return add_rows(dataset=dataset, by=None, rows=rows)


def counts(dataset) -> Counter:
    return Counter(dataset.examples.values_list("split", flat=True))


def found(dataset) -> dict[str, str]:
    return {one.check_name: one.message for one in checks.run_checks(dataset)}


def page(browser, goal, name="page") -> str:
    full_name = name if ":" in name else f"datasets:{name}"
    return html.unescape(compact(browser.get(reverse(full_name, args=[goal.pk]))))


def test_new_rows_are_for_test_or_validation():
    sides = Counter(
        split_for(hash_fraction(17, f"prompt {n}"), WITHOUT_TRAINING) for n in range(20_000)
    )
    assert sides[Split.TEST] / 20_000 == pytest.approx(0.70, abs=0.01)
    assert sides[Split.VALIDATION] / 20_000 == pytest.approx(0.30, abs=0.01)
    assert not sides[Split.TRAIN]
    assert split_for(1.0, WITHOUT_TRAINING) == Split.VALIDATION


@pytest.mark.parametrize("n", [1, 2, 3, 5, 20, 28])
def test_small_dataset_has_most_rows_in_test_and_some_in_validation(questions, n):
    add(questions, range(n))
    sides = counts(questions)
    assert not sides[Split.TRAIN]
    assert sides[Split.TEST] >= round(0.6 * n)
    assert sides[Split.VALIDATION] >= round(0.2 * n)


def test_question_keeps_its_split_when_the_method_changes(goal):
    dataset = dataset_of(goal)
    add(dataset, range(60))
    before = dict(dataset.examples.values_list("pk", "split"))
    goals.choose_method(goal=goal, method="prompt")
    add(dataset_of(goal), range(60, 90))
    after = dict(dataset.examples.values_list("pk", "split"))
    assert {pk: after[pk] for pk in before} == before
    new = Counter(split for pk, split in after.items() if pk not in before)
    assert not new[Split.TRAIN]
    goals.choose_method(goal=goal, method="fine_tune")
    add(dataset_of(goal), range(90, 190))
    assert Counter(dataset.examples.values_list("split", flat=True))[Split.TRAIN] > 80


def test_splits_of_a_file_are_used(questions):
    add(questions, range(4), split=Split.TRAIN)
    assert counts(questions)[Split.TRAIN] >= 3


def test_training_rows_are_not_required(questions):
    add(questions, range(30))
    said = found(questions)
    assert not {"too_few", "no_train", "no_test", "no_practice"} & set(said)
    assert freeze_blocker(questions) == ""
    version, _new = freeze(dataset=questions, by=None)
    assert version.counts["train"] == 0


def test_few_questions_are_a_warning(questions):
    add(questions, range(10))
    tests = counts(questions)[Split.TEST]
    (one,) = [one for one in checks.run_checks(questions) if one.check_name == "small_test"]
    assert one.message == f"{tests} questions are kept back for the test"
    assert "Write about " in one.why
    assert freeze_blocker(questions) == ""


def test_train_rows_are_held_back_in_two_fixes(questions, owner):
    add(questions, range(30), split=Split.TRAIN)
    questions.examples.update(split=Split.TRAIN)
    checks.run_checks(questions)
    apply_fix(finding=questions.findings.get(check_name="no_test"), by=owner)
    assert counts(questions)[Split.TEST] == 21
    checks.run_checks(questions)
    apply_fix(finding=questions.findings.get(check_name="no_practice"), by=owner)
    assert counts(questions)[Split.VALIDATION] > 0
    assert not {"no_test", "no_practice"} & set(found(questions))


def test_test_rows_may_become_validation_rows_but_never_the_reverse(questions, owner):
    add(questions, range(10), split=Split.TEST)
    checks.run_checks(questions)
    apply_fix(finding=questions.findings.get(check_name="no_practice"), by=owner)
    assert counts(questions) == {Split.TEST: 7, Split.VALIDATION: 3}
    questions.examples.update(split=Split.VALIDATION)
    (one,) = [one for one in checks.run_checks(questions) if one.check_name == "no_test"]
    assert "did not look at" in one.why


def test_pages_ask_for_questions(as_editor, goal, questions):
    assert "What should it get right?" in page(as_editor, goal)
    assert "A question that people really ask" in page(as_editor, goal, "write")
    assert "Where are your questions?" in page(as_editor, goal, "imports:add")
    add(questions, range(24))
    checks.run_checks(questions)
    shown = page(as_editor, goal)
    assert "Are these good questions?" in shown
    assert "<b>24 questions</b>" in shown
    assert "to learn from" not in shown


def test_training_without_train_rows_is_refused(as_editor, goal, owner, questions):
    add(questions, range(30))
    freeze(dataset=questions, by=owner)
    address = reverse("training:page", args=[goal.pk])
    assert "holds only questions to test with" in as_editor.get(address).content.decode()
    reply = as_editor.post(reverse("training:start", args=[goal.pk]))
    assert reply.status_code >= 400
    assert "Version 1 holds only questions to test with" in reply.content.decode()
    assert not goal.trainings.exists()


def test_changing_the_method_checks_the_dataset_again(as_editor, goal, owner, questions):
    add(questions, range(30))
    checks.run_checks(questions)
    assert not questions.findings.filter(check_name="no_train").exists()
    as_editor.post(reverse("guide:take", args=[goal.pk]), {"method": "fine_tune"})
    assert questions.findings.filter(check_name="no_train").exists()

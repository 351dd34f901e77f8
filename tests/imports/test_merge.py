"""Import a newer file: merge or replace, with a plan first, and one undo."""

import pytest

from finetune_app.datasets.models import Edit, Import, Status
from finetune_app.datasets.services import add_rows, save_example, undo
from finetune_app.imports import import_rows
from finetune_app.imports.services import apply_plan
from tests.example_rows import conversation
from tests.imports.conftest import finish_job

MERGE, REPLACE = Import.Mode.MERGE, Import.Mode.REPLACE


def row(prompt: str, answer: str, key: str = "", group: str = "") -> dict:
    return {"messages": conversation(prompt, answer), "key": key, "group": group}


OLD = [row(f"Question {n}?", f"answer {n}", key=f"k{n}") for n in range(6)]


@pytest.fixture
def existing(dataset):
    add_rows(dataset=dataset, by=None, rows=OLD)
    return dataset


def state(dataset) -> dict:
    """The visible fields of the kept examples."""
    kept = dataset.examples.kept().order_by("number")
    return {one.number: (one.prompt, one.answer, one.status, one.split, one.key) for one in kept}


def answers(dataset) -> list[str]:
    return [answer for _prompt, answer, *_rest in state(dataset).values()]


def apply(item: Import) -> Import:
    apply_plan(item=item)
    return finish_job(item, {"step": "store"})


NEWER = [
    row("Question 0?", "answer 0", "k0"),  # the same
    row("Question 1?", "better 1", "k1"),  # another answer
    row("Question two?", "answer 2", "k2"),  # another prompt
    row("Brand new?", "answer new", "k9"),
]


def test_the_plan_counts_changes_without_making_them(existing, run_import, as_owner, url):
    before = state(existing)
    item = run_import(NEWER, mode=MERGE)
    assert item.step == Import.Step.PLANNED
    plan = item.plan
    assert (plan["new"], plan["changed"], plan["same"], plan["gone"]) == (1, 2, 1, 0)
    assert plan["first"][0]["before"]["answer"] == "answer 1"
    assert plan["first"][0]["after"]["answer"] == "better 1"
    assert state(existing) == before
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "Is this what should change?" in page
    assert "better 1" in page
    assert "Update the examples" in page


def test_new_rows_of_an_update_keep_the_splits_of_their_file(existing, run_import, monkeypatch):
    monkeypatch.setattr(import_rows, "ROWS_PER_BATCH", 10)
    existing.examples.update(split="train")
    named = ["train"] * 40 + ["validation"] * 10
    newer = [row(f"New {n}?", "new") | {"split": split} for n, split in enumerate(named)]
    apply(run_import(newer, mode=MERGE))
    new = existing.examples.filter(answer="new").order_by("number")
    assert list(new.values_list("split", flat=True)) == named


def test_merging_updates_adds_and_keeps(existing, run_import):
    splits = {one.key: one.split for one in existing.examples.all()}
    item = apply(run_import(NEWER, mode=MERGE))
    assert item.step == Import.Step.DONE
    assert answers(existing) == [
        "answer 0",
        "better 1",
        "answer 2",
        "answer 3",
        "answer 4",
        "answer 5",
        "answer new",
    ]
    changed = existing.examples.get(number=3)
    assert changed.prompt == "Question two?"
    assert all(one.split == splits[one.key] for one in existing.examples.exclude(key="k9"))


def test_replacing_trashes_examples_missing_from_the_file(existing, run_import):
    item = run_import(NEWER, mode=REPLACE)
    assert item.plan["gone"] == 3
    apply(item)
    assert answers(existing) == ["answer 0", "better 1", "answer 2", "answer new"]
    assert existing.examples.exclude(deleted_at=None).count() == 3


@pytest.mark.parametrize("mode", [MERGE, REPLACE])
def test_undo_restores_the_examples_and_redo_applies_the_file_again(
    existing, run_import, owner, mode
):
    before = state(existing)
    apply(run_import(NEWER, mode=mode))
    after = state(existing)
    back, left = undo(edit=Edit.objects.get(source_import__isnull=False), by=owner)
    assert left == 0
    assert state(existing) == before
    again, _left = undo(edit=back, by=owner)
    assert state(existing) == after
    undo(edit=again, by=owner)
    assert state(existing) == before


def test_undo_keeps_later_edits(existing, run_import, owner):
    apply(run_import(NEWER, mode=REPLACE))
    edited = existing.examples.get(number=2)
    save_example(
        example=edited, by=owner, seen=None, messages=conversation("Question 1?", "edited")
    )
    _back, left = undo(edit=Edit.objects.get(source_import__isnull=False), by=owner)
    assert left == 1
    assert answers(existing) == ["answer 0", "edited", *(f"answer {n}" for n in range(2, 6))]


def test_rows_without_a_key_are_matched_by_prompt(existing, run_import):
    rows = [row(" QUESTION 4? ", "better 4"), row("Unheard of?", "new")]
    item = run_import(rows, mode=MERGE)
    assert (item.plan["changed"], item.plan["new"]) == (1, 1)
    apply(item)
    assert existing.examples.get(number=5).answer == "better 4"


def test_examples_without_a_key_get_the_key_of_the_file(dataset, run_import):
    add_rows(dataset=dataset, by=None, rows=[row("Question?", "answer")])
    item = apply(run_import([row("Question?", "answer", "k1")], mode=MERGE))
    assert item.plan["same"] == 1
    assert dataset.examples.get().key == "k1"


@pytest.fixture
def without_keys(existing):
    existing.examples.update(key="")
    return existing


def keys(dataset) -> list[str]:
    return [key for *_rest, key in state(dataset).values()]


def test_undo_takes_the_keys_away_again(without_keys, run_import, owner):
    """Else the next file would match other rows than before."""
    seen = dict(without_keys.examples.values_list("number", "changed_at"))
    rows = [row("Question 0?", "answer 0", "a"), row("Question 1?", "better 1", "b")]
    apply(run_import(rows, mode=MERGE))
    assert keys(without_keys) == ["a", "b", "", "", "", ""]
    now = dict(without_keys.examples.values_list("number", "changed_at"))
    assert [number for number in seen if now[number] != seen[number]] == [2]  # not for a key alone
    back, left = undo(edit=Edit.objects.get(source_import__isnull=False), by=owner)
    assert (keys(without_keys), left) == ([""] * 6, 0)
    undo(edit=back, by=owner)
    assert keys(without_keys) == ["a", "b", "", "", "", ""]


def test_cancelling_a_crashed_merge_takes_its_keys_away(
    without_keys, run_import, monkeypatch, as_owner, url
):
    item = run_import([row("Question 0?", "answer 0", "a")], mode=REPLACE)
    apply_plan(item=item)
    monkeypatch.setattr(import_rows, "_trash_missing", lambda *_args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        finish_job(item, {"step": "store"})
    assert keys(without_keys)[0] == "a"
    as_owner.post(url("cancel", import_id=item.pk))
    assert keys(without_keys) == [""] * 6


def test_duplicate_keys_keep_both_rows(existing, run_import):
    twice = [row("Question 0?", "one", "k0"), row("Question 0?", "two", "k0")]
    apply(run_import(twice, mode=MERGE))
    assert sorted(existing.examples.filter(key="k0").values_list("answer", flat=True)) == [
        "one",
        "two",
    ]
    again = run_import(twice, mode=MERGE)
    assert (again.plan["same"], again.plan["new"], again.plan["changed"]) == (2, 0, 0)


def test_a_row_without_an_answer_keeps_the_existing_one(existing, run_import):
    item = run_import([row("Question 0?", "", "k0")], mode=MERGE)
    assert item.plan["same"] == 1


def test_an_answer_approves_a_pending_example(existing, run_import):
    run_import([row("To be answered?", "", "k7")])
    waiting = existing.examples.get(key="k7")
    assert waiting.status == Status.PENDING
    apply(run_import([row("To be answered?", "like so", "k7")], mode=MERGE))
    waiting.refresh_from_db()
    assert (waiting.status, waiting.answer) == (Status.APPROVED, "like so")


def test_a_merge_resumed_after_a_crash_gives_the_same_result(existing, run_import, monkeypatch):
    item = run_import(NEWER, mode=REPLACE)
    apply_plan(item=item)
    trash_missing = import_rows._trash_missing
    monkeypatch.setattr(import_rows, "_trash_missing", lambda *_args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        finish_job(item, {"step": "store"})
    monkeypatch.setattr(import_rows, "_trash_missing", trash_missing)
    assert "answer new" not in answers(existing)  # hidden until the import is done
    type(item.job).objects.filter(pk=item.job.pk).update(state="queued")
    finish_job(item, {"step": "store"})
    assert answers(existing) == ["answer 0", "better 1", "answer 2", "answer new"]
    assert Edit.objects.filter(source_import=item).count() == 1


def test_cancelling_a_crashed_merge_restores_the_examples(
    existing, run_import, monkeypatch, as_owner, url
):
    before = state(existing)
    item = run_import(NEWER, mode=REPLACE)
    apply_plan(item=item)
    monkeypatch.setattr(import_rows, "_trash_missing", lambda *_args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        finish_job(item, {"step": "store"})
    as_owner.post(url("cancel", import_id=item.pk))
    assert state(existing) == before
    assert existing.examples.count() == len(before)
    assert not Import.objects.exists()


def test_only_editors_of_the_team_may_decide(
    existing, run_import, as_viewer, as_stranger, as_owner, url
):
    item = run_import(NEWER, mode=MERGE)
    address = url("decide", import_id=item.pk)
    assert as_viewer.post(address, {"what": "go"}).status_code == 403
    assert as_stranger.post(address, {"what": "go"}).status_code == 404
    assert as_owner.get(address).status_code == 405
    item.refresh_from_db()
    assert item.step == Import.Step.PLANNED
    as_owner.post(address, {"what": "go"})
    as_owner.post(address, {"what": "go"})  # a double click
    item.refresh_from_db()
    assert item.step == Import.Step.ADDING

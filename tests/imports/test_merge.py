"""A newer file: updates what is here, or replaces it; shown before it is done, undone as one."""

import pytest

from finetune_app.datasets.models import Edit, Import, Status
from finetune_app.datasets.services import add_rows, save_example, undo
from finetune_app.imports import import_rows
from finetune_app.imports.services import apply_plan
from tests.example_rows import conversation
from tests.imports.conftest import run_out

MERGE, REPLACE = Import.Mode.MERGE, Import.Mode.REPLACE


def row(prompt: str, answer: str, key: str = "", group: str = "") -> dict:
    return {"messages": conversation(prompt, answer), "key": key, "group": group}


OLD = [row(f"Question {n}?", f"answer {n}", key=f"k{n}") for n in range(6)]


@pytest.fixture
def here(dataset):
    add_rows(dataset=dataset, by=None, rows=OLD)
    return dataset


def state(dataset) -> dict:
    """Everything that a person sees of the examples."""
    kept = dataset.examples.kept().order_by("number")
    return {one.number: (one.prompt, one.answer, one.status, one.split, one.key) for one in kept}


def answers(dataset) -> list[str]:
    return [answer for _prompt, answer, *_rest in state(dataset).values()]


def carried_out(item: Import) -> Import:
    apply_plan(item=item)
    return run_out(item, {"step": "store"})


NEWER = [
    row("Question 0?", "answer 0", "k0"),  # the same
    row("Question 1?", "better 1", "k1"),  # another answer
    row("Question two?", "answer 2", "k2"),  # asked in other words
    row("Brand new?", "answer new", "k9"),
]


def test_the_plan_says_what_would_change_and_changes_nothing(here, read_file, as_owner, url):
    before = state(here)
    item = read_file(NEWER, mode=MERGE)
    assert item.step == Import.Step.PLANNED
    plan = item.plan
    assert (plan["new"], plan["changed"], plan["same"], plan["gone"]) == (1, 2, 1, 0)
    assert plan["first"][0]["before"]["answer"] == "answer 1"
    assert plan["first"][0]["after"]["answer"] == "better 1"
    assert state(here) == before
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "Is this what should change?" in page
    assert "better 1" in page
    assert "Update the examples" in page


def test_a_merge_updates_adds_and_keeps(here, read_file):
    sides = {one.key: one.split for one in here.examples.all()}
    item = carried_out(read_file(NEWER, mode=MERGE))
    assert item.step == Import.Step.DONE
    assert answers(here) == [
        "answer 0",
        "better 1",
        "answer 2",
        "answer 3",
        "answer 4",
        "answer 5",
        "answer new",
    ]
    changed = here.examples.get(number=3)
    assert changed.prompt == "Question two?"
    assert all(one.split == sides[one.key] for one in here.examples.exclude(key="k9"))


def test_replacing_puts_what_the_file_does_not_have_into_the_trash(here, read_file):
    item = read_file(NEWER, mode=REPLACE)
    assert item.plan["gone"] == 3
    carried_out(item)
    assert answers(here) == ["answer 0", "better 1", "answer 2", "answer new"]
    assert here.examples.exclude(deleted_at=None).count() == 3


@pytest.mark.parametrize("mode", [MERGE, REPLACE])
def test_undo_restores_exactly_what_was_and_undoing_that_does_it_again(
    here, read_file, owner, mode
):
    before = state(here)
    carried_out(read_file(NEWER, mode=mode))
    after = state(here)
    back, left = undo(edit=Edit.objects.get(source_import__isnull=False), by=owner)
    assert left == 0
    assert state(here) == before
    again, _left = undo(edit=back, by=owner)
    assert state(here) == after
    undo(edit=again, by=owner)
    assert state(here) == before


def test_undo_leaves_alone_what_somebody_has_changed_since(here, read_file, owner):
    carried_out(read_file(NEWER, mode=REPLACE))
    mine = here.examples.get(number=2)
    save_example(example=mine, by=owner, seen=None, messages=conversation("Question 1?", "mine"))
    _back, left = undo(edit=Edit.objects.get(source_import__isnull=False), by=owner)
    assert left == 1
    assert answers(here) == ["answer 0", "mine", *(f"answer {n}" for n in range(2, 6))]


def test_without_a_key_the_same_question_is_the_same_row(here, read_file):
    rows = [row(" QUESTION 4? ", "better 4"), row("Unheard of?", "new")]
    item = read_file(rows, mode=MERGE)
    assert (item.plan["changed"], item.plan["new"]) == (1, 1)
    carried_out(item)
    assert here.examples.get(number=5).answer == "better 4"


def test_rows_that_had_no_key_get_the_one_of_the_file(dataset, read_file):
    add_rows(dataset=dataset, by=None, rows=[row("Question?", "answer")])
    item = carried_out(read_file([row("Question?", "answer", "k1")], mode=MERGE))
    assert item.plan["same"] == 1
    assert dataset.examples.get().key == "k1"


def test_nothing_is_lost_where_a_key_comes_twice(here, read_file):
    twice = [row("Question 0?", "one", "k0"), row("Question 0?", "two", "k0")]
    carried_out(read_file(twice, mode=MERGE))
    assert sorted(here.examples.filter(key="k0").values_list("answer", flat=True)) == ["one", "two"]
    again = read_file(twice, mode=MERGE)
    assert (again.plan["same"], again.plan["new"], again.plan["changed"]) == (2, 0, 0)


def test_a_row_without_an_answer_takes_none_away(here, read_file):
    item = read_file([row("Question 0?", "", "k0")], mode=MERGE)
    assert item.plan["same"] == 1


def test_an_answer_approves_what_waited_for_one(here, read_file):
    read_file([row("To be answered?", "", "k7")])
    waiting = here.examples.get(key="k7")
    assert waiting.status == Status.PENDING
    carried_out(read_file([row("To be answered?", "like so", "k7")], mode=MERGE))
    waiting.refresh_from_db()
    assert (waiting.status, waiting.answer) == (Status.APPROVED, "like so")


def test_tried_again_after_a_worker_died_half_way_it_ends_the_same(here, read_file, monkeypatch):
    item = read_file(NEWER, mode=REPLACE)
    apply_plan(item=item)
    put_aside = import_rows._trash_missing
    monkeypatch.setattr(import_rows, "_trash_missing", lambda *_args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_out(item, {"step": "store"})
    monkeypatch.setattr(import_rows, "_trash_missing", put_aside)
    assert "answer new" not in answers(here)  # hidden until all is done
    type(item.job).objects.filter(pk=item.job.pk).update(state="queued")
    run_out(item, {"step": "store"})
    assert answers(here) == ["answer 0", "better 1", "answer 2", "answer new"]
    assert Edit.objects.filter(source_import=item).count() == 1


def test_given_up_it_leaves_nothing_behind(here, read_file, monkeypatch, as_owner, url):
    before = state(here)
    item = read_file(NEWER, mode=REPLACE)
    apply_plan(item=item)
    monkeypatch.setattr(import_rows, "_trash_missing", lambda *_args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_out(item, {"step": "store"})
    as_owner.post(url("cancel", import_id=item.pk))
    assert state(here) == before
    assert here.examples.count() == len(before)
    assert not Import.objects.exists()


def test_only_editors_of_this_team_decide(here, read_file, as_viewer, as_stranger, as_owner, url):
    item = read_file(NEWER, mode=MERGE)
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

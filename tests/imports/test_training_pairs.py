"""Import pairs of a better and a worse answer."""

import json

import pytest

from finetune_app.datasets.models import Edit, Import
from finetune_app.datasets.services import add_rows, undo
from finetune_app.imports.services import apply_plan
from tests.example_rows import conversation
from tests.imports.conftest import finish_job
from tests.page_text import compact


@pytest.fixture
def pairs(as_owner, upload_file, run_job) -> Import:
    """Three pairs, of which the last one compares an answer with itself."""
    rows = [
        {"prompt": f"Is bike {n} ready?", "chosen": f"On day {n}.", "rejected": worse}
        for n, worse in enumerate(("Go!", "", "On day 2."))
    ]
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return run_job(upload_file(as_owner, "pairs.jsonl", content))


def test_the_samples_show_both_answers(as_owner, pairs, url):
    page = compact(as_owner.get(url("detail", import_id=pairs.pk)))
    assert "Worse answer" in page
    assert "Go!" in page
    assert "What about these rows?" not in page
    assert "Add 2 examples" in page


def test_both_answers_are_imported_and_the_rest_is_listed(as_owner, pairs, url, run_job, dataset):
    form = {"prompt": "prompt", "answer": "chosen", "rejected": "rejected", "add": "1"}
    as_owner.post(url("confirm", import_id=pairs.pk), form)
    item = run_job(pairs)
    assert list(dataset.examples.order_by("number").values_list("answer", "rejected")) == [
        ("On day 0.", "Go!"),
        ("On day 1.", ""),
    ]
    assert [row["line"] for row in item.rejected] == [3]
    assert "The better and the worse answer are the same." in item.rejected[0]["reason"]


@pytest.mark.parametrize("column", ["prompt", "chosen"])
def test_the_worse_answer_has_a_column_of_its_own(as_owner, pairs, url, column):
    form = {"prompt": "prompt", "answer": "chosen", "rejected": column, "add": "1"}
    reply = as_owner.post(url("confirm", import_id=pairs.pk), form)
    assert reply.status_code == 422
    assert "The worse answer has to be a column of its own." in reply.content.decode()


def row(answer: str, rejected: str = "") -> dict:
    return {"messages": conversation("Is it ready?", answer), "rejected": rejected, "key": "k"}


@pytest.mark.parametrize(
    ("newer", "after"),
    [
        (row("Tomorrow.", "No!"), ("Tomorrow.", "No!")),  # another worse answer
        (row("On Monday."), ("On Monday.", "Go!")),  # a row without one removes none
        (row("Go!"), ("Go!", "")),  # what was worse is now the answer
    ],
)
def test_a_newer_file_changes_pairs_and_undo_restores_them(
    dataset, owner, run_import, as_owner, url, newer, after
):
    add_rows(dataset=dataset, by=owner, rows=[row("Tomorrow.", "Go!")])
    item = run_import([newer], mode="merge")
    assert item.plan["changed"] == 1
    page = compact(as_owner.get(url("detail", import_id=item.pk)))
    assert page.count("Worse answer") == (2 if after[1] else 1)
    apply_plan(item=item)
    finish_job(item, {"step": "store"})
    assert dataset.examples.values_list("answer", "rejected").get() == after
    undo(edit=Edit.objects.get(source_import=item), by=owner)
    assert dataset.examples.values_list("answer", "rejected").get() == ("Tomorrow.", "Go!")


def test_a_row_that_has_no_worse_answer_changes_nothing(dataset, owner, run_import):
    add_rows(dataset=dataset, by=owner, rows=[row("Tomorrow.", "Go!")])
    item = run_import([row("Tomorrow.")], mode="merge")
    assert (item.plan["changed"], item.plan["same"]) == (0, 1)

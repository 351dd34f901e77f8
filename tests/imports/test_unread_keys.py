"""Decide on the preview what becomes of rows with keys that are not read."""

import json

import pytest

from finetune_app.datasets.models import Import
from finetune_app.imports.models import SavedMapping
from tests.page_text import compact

FUNCTIONS = [{"name": "look_up"}]


def chat(number: int, **more: object) -> dict:
    messages = [
        {"role": "user", "content": f"Is bike {number} ready?", "name": "Ida"},
        {"role": "assistant", "content": f"On day {number}."},
    ]
    return {"messages": messages, **more}


def lines(*rows: dict) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def with_functions(as_owner, upload_file, run_job) -> Import:
    """Six conversations, four of them with functions."""
    rows = [chat(n, **({"functions": FUNCTIONS} if n > 2 else {})) for n in range(1, 7)]
    return run_job(upload_file(as_owner, "chats.jsonl", lines(*rows)))


def test_every_key_is_named_before_anything_is_added(as_owner, with_functions, url, dataset):
    page = compact(as_owner.get(url("detail", import_id=with_functions.pk)))
    assert "“functions” in 4 rows (lines 3, 4, 5, …): not read by Finetune yet." in page
    assert "“name” in 6 rows (lines 1, 2, 3, …)" in page
    assert "Leave them out" in page
    assert "Add the examples" in page  # how many is not decided
    assert "Is bike 1 ready?" in page
    assert not dataset.examples.exists()


def test_nothing_is_added_without_a_decision(as_owner, with_functions, url):
    form = {"messages": "messages", "add": "1"}
    for wrong in ({}, {"unread": ""}, {"unread": "perhaps"}):
        reply = as_owner.post(url("confirm", import_id=with_functions.pk), form | wrong)
        assert reply.status_code == 422
    reply = as_owner.post(url("confirm", import_id=with_functions.pk), form)
    assert "Choose what becomes of these rows." in reply.content.decode()
    with_functions.refresh_from_db()
    assert with_functions.step == Import.Step.CONFIRM


@pytest.mark.parametrize(("decision", "count"), [("leave out", 2), ("take", 6)])
def test_the_decision_is_shown_and_followed(
    as_owner, with_functions, url, run_job, dataset, decision, count
):
    form = {"messages": "messages", "unread": decision}
    address = url("confirm", import_id=with_functions.pk)
    page = compact(as_owner.post(address, form, headers={"HX-Request": "true"}))
    assert f"Add {count} examples" in page
    assert f'value="{decision}"' in page
    as_owner.post(address, form | {"add": "1"})
    item = run_job(with_functions)
    assert (item.step, item.rows_kept, dataset.examples.count()) == ("done", count, count)
    assert [row["line"] for row in item.rejected] == ([] if count == 6 else [3, 4, 5, 6])
    assert all("“functions”" in row["reason"] for row in item.rejected)


def test_the_decision_is_asked_for_each_file(as_owner, with_functions, url, upload_file, run_job):
    form = {"messages": "messages", "unread": "take", "add": "1"}
    as_owner.post(url("confirm", import_id=with_functions.pk), form)
    assert "unread" not in SavedMapping.objects.get().mapping
    rows = lines(*(chat(n, functions=FUNCTIONS) for n in range(8, 12)))
    again = run_job(upload_file(as_owner, "more.jsonl", rows))
    assert again.shape["remembered"]
    reply = as_owner.post(url("confirm", import_id=again.pk), {"messages": "messages", "add": "1"})
    assert reply.status_code == 422


def test_a_worse_answer_that_no_column_takes_is_asked_about(
    as_owner, upload_file, run_job, url, dataset
):
    rows = [
        {"prompt": f"Is bike {n} ready?", "chosen": "Tomorrow.", "rejected": "Go!"}
        for n in range(3)
    ]
    item = run_job(upload_file(as_owner, "pairs.jsonl", lines(*rows)))
    form = {"prompt": "prompt", "answer": "chosen", "rejected": ""}
    page = compact(as_owner.post(url("confirm", import_id=item.pk), form))
    assert "“rejected” in 3 rows (lines 1, 2, 3): not chosen as the worse answer." in page
    as_owner.post(url("confirm", import_id=item.pk), form | {"unread": "take", "add": "1"})
    run_job(item)
    assert set(dataset.examples.values_list("answer", "rejected")) == {("Tomorrow.", "")}


def test_a_file_without_such_keys_asks_nothing(as_owner, upload_file, run_job, url):
    item = run_job(upload_file(as_owner, "t.csv", b"prompt,answer,who\nHello,Hi,Ida\n"))
    page = compact(as_owner.get(url("detail", import_id=item.pk)))
    assert "What about these rows?" not in page
    assert "“who” in 1 row (line 2)" in page
    assert "Add 1 example" in page


def test_the_decision_is_kept_when_somebody_goes_back_to_the_columns(
    as_owner, with_functions, examples, url, run_job
):
    examples(3)
    form = {"messages": "messages", "unread": "take", "mode": "merge", "add": "1"}
    as_owner.post(url("confirm", import_id=with_functions.pk), form)
    item = run_job(with_functions)
    assert item.step == Import.Step.PLANNED
    as_owner.post(url("decide", import_id=item.pk), {"what": "columns"})
    page = compact(as_owner.get(url("detail", import_id=item.pk)))
    assert "Add 6 examples" in page

"""Confirm or correct the inferred columns of an import."""

import json

import pytest

from finetune_app.datasets.models import Import
from tests.worker.imports.files import GOOD, xlsx, zipped

UNKNOWN_COLUMNS = b"""id;mails;antw;handled_by
1;Is my bike ready?;topic: repair_status;Jonas
2;Where is my parcel?;topic: order_delay;Mara
3;I want my money back;topic: return;Mara
"""


@pytest.fixture
def unknown_columns(as_owner, upload_file, run_job) -> Import:
    """A file whose columns have names we do not know."""
    return run_job(upload_file(as_owner, "mailbox.csv", UNKNOWN_COLUMNS))


def test_unknown_columns_are_asked_about(as_owner, unknown_columns, url):
    page = as_owner.get(url("detail", import_id=unknown_columns.pk)).content.decode()
    assert "Which column holds the answers?" in page
    assert "handled_by" in page
    assert "Add 3 examples" not in page


def test_choosing_columns_previews_the_rows(as_owner, unknown_columns, url, dataset):
    form = {"prompt": "mails", "answer": "antw", "look": "1"}
    page = as_owner.post(url("confirm", import_id=unknown_columns.pk), form).content.decode()
    assert "Is this how it should learn?" in page
    assert "Is my bike ready?" in page
    assert "repair_status" in page
    assert not dataset.examples.exists()


def test_htmx_requests_get_only_the_preview(as_owner, unknown_columns, url):
    form = {"prompt": "mails", "answer": "antw"}
    address = url("confirm", import_id=unknown_columns.pk)
    page = as_owner.post(address, form, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in page
    assert "Is my bike ready?" in page
    assert 'id="next"' in page
    assert "Add the examples" in page


def test_confirming_imports_the_chosen_columns(as_owner, unknown_columns, url, run_job, dataset):
    form = {"prompt": "mails", "answer": "antw", "add": "1"}
    as_owner.post(url("confirm", import_id=unknown_columns.pk), form)
    item = run_job(unknown_columns)
    assert item.step == Import.Step.DONE
    first = dataset.examples.order_by("number").first()
    assert (first.prompt, first.answer) == ("Is my bike ready?", "topic: repair_status")


def test_the_same_column_twice_is_rejected(as_owner, unknown_columns, url):
    form = {"prompt": "mails", "answer": "mails", "add": "1"}
    reply = as_owner.post(url("confirm", import_id=unknown_columns.pk), form)
    assert reply.status_code == 422
    assert "cannot be the same column" in reply.content.decode()


@pytest.mark.parametrize("name", ["context", "system"])
def test_the_answer_is_not_put_into_the_prompt(as_owner, unknown_columns, url, name):
    form = {"prompt": "mails", "answer": "antw", name: "antw", "add": "1"}
    reply = as_owner.post(url("confirm", import_id=unknown_columns.pk), form)
    assert reply.status_code == 422
    assert "would read the answer" in reply.content.decode()


def test_an_unknown_column_is_rejected(as_owner, unknown_columns, url):
    form = {"prompt": "mails", "answer": "secret", "add": "1"}
    assert as_owner.post(url("confirm", import_id=unknown_columns.pk), form).status_code == 422
    unknown_columns.refresh_from_db()
    assert unknown_columns.step == Import.Step.CONFIRM


def test_confirming_twice_imports_once(as_owner, unknown_columns, url, dataset, run_job):
    form = {"prompt": "mails", "answer": "antw", "add": "1"}
    as_owner.post(url("confirm", import_id=unknown_columns.pk), form)
    as_owner.post(url("confirm", import_id=unknown_columns.pk), form)
    run_job(unknown_columns)
    assert dataset.examples.count() == 3


def test_the_delimiter_can_be_corrected(as_owner, upload_file, run_job, url):
    item = run_job(upload_file(as_owner, "odd.csv", b"prompt,a;answer,b\nOne, two;Three, four\n"))
    given = {"encoding": "utf-8", "delimiter": ";", "has_header": "yes"}
    as_owner.post(url("inspect_again", import_id=item.pk), given)
    item = run_job(item)
    assert item.shape["columns"] == ["prompt,a", "answer,b"]


def test_the_encoding_can_be_corrected(as_owner, upload_file, run_job, url):
    content = "prompt,answer\nŁódź?,Tak\n".encode("cp1250")
    item = run_job(upload_file(as_owner, "pl.csv", content))
    as_owner.post(url("inspect_again", import_id=item.pk), {"encoding": "cp1250"})
    item = run_job(item)
    assert item.shape["rows"][0]["cells"]["prompt"] == "Łódź?"


def test_an_unreadable_file_shows_the_reason_and_adds_nothing(
    as_owner, upload_file, run_job, url, dataset
):
    item = run_job(upload_file(as_owner, "budget.xlsx", b"PK\x03\x04 and so on"))
    assert item.step == Import.Step.FAILED
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "The file is cut off or damaged" in page
    assert "Choose another file" in page
    assert not dataset.examples.exists()


def test_lists_that_are_not_read_are_named_before_anything_is_added(
    as_owner, upload_file, run_job, url, dataset
):
    rows = [{"prompt": f"Question {n}?", "answer": f"Answer {n}"} for n in range(12)]
    content = json.dumps({"pairs": rows[:8], "held_back": rows[8:]}).encode()
    item = run_job(upload_file(as_owner, "lists.json", content))
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "“held_back” holds 4 rows that are not read" in page
    assert not dataset.examples.exists()


def test_of_many_unreadable_rows_the_first_are_shown(as_owner, upload_file, run_job, url):
    lines = ['{"prompt": "Hello?", "answer": "Yes"}', *["{broken"] * 12]
    item = run_job(upload_file(as_owner, "odd.jsonl", "\n".join(lines).encode()))
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "Line 6:" in page
    assert "Line 7:" not in page
    assert "and 7 more" in page


def test_a_split_column_sets_the_splits(as_owner, upload_file, run_job, url, dataset):
    rows = [f"Question {n}?,Answer {n},{s}" for n, s in enumerate(["train", "dev", "test"] * 4)]
    item = run_job(
        upload_file(as_owner, "s.csv", "\n".join(["prompt,answer,split", *rows]).encode())
    )
    assert item.mapping["split"] == "split"
    form = {"prompt": "prompt", "answer": "answer", "split": "split", "add": "1"}
    as_owner.post(url("confirm", import_id=item.pk), form)
    run_job(item)
    assert set(dataset.examples.values_list("answer", "split")) >= {
        ("Answer 0", "train"),
        ("Answer 1", "validation"),
        ("Answer 2", "test"),
    }


def test_the_waiting_page_polls_until_the_work_is_done(as_owner, upload_file, run_job, url):
    item = upload_file(as_owner, "pairs.csv", b"prompt,answer\nHello,Good morning\n")
    address = url("detail", import_id=item.pk)
    assert "every 1s" in as_owner.get(address).content.decode()
    run_job(item)
    reply = as_owner.get(address, headers={"HX-Request": "true"})
    assert reply["HX-Redirect"] == address


def test_only_editors_confirm(unknown_columns, as_viewer, as_stranger, as_owner, url):
    form = {"prompt": "mails", "answer": "antw", "add": "1"}
    address = url("confirm", import_id=unknown_columns.pk)
    assert as_viewer.post(address, form).status_code == 403
    assert as_stranger.post(address, form).status_code == 404
    assert as_owner.get(address).status_code == 405
    assert as_viewer.get(url("detail", import_id=unknown_columns.pk)).status_code == 200
    assert as_stranger.get(url("detail", import_id=unknown_columns.pk)).status_code == 404


def test_rejected_rows_are_listed_and_can_be_downloaded(
    as_owner, as_stranger, upload_file, run_job, url, dataset
):
    content = b"prompt,answer\nHello,Good morning\nNo answer,\n" + b"Bad,\n" * 300
    item = run_job(upload_file(as_owner, "p.csv", content))
    as_owner.post(
        url("confirm", import_id=item.pk), {"prompt": "prompt", "answer": "answer", "add": "1"}
    )
    item = run_job(item)
    assert (item.rows_kept, item.rejected_count, len(item.rejected)) == (1, 301, 200)
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "301 rows were left out" in page
    reply = as_owner.get(url("rejected_rows", import_id=item.pk))
    lines = b"".join(reply.streaming_content).splitlines()
    assert len(lines) == 1 + 301  # the names of the columns, then the rows
    assert "attachment" in reply["Content-Disposition"]
    assert as_stranger.get(url("rejected_rows", import_id=item.pk)).status_code == 404


def test_the_prompt_column_is_asked_for_after_the_answer(as_owner, unknown_columns, url):
    address = url("confirm", import_id=unknown_columns.pk)
    page = as_owner.post(address, {"answer": "antw", "look": "1"}).content.decode()
    assert "Which column holds what is asked?" in page
    assert '<option value="antw" selected>' in page
    page = as_owner.post(address, {"answer": "antw", "prompt": "mails"}).content.decode()
    assert "Is this how it should learn?" in page


def test_another_sheet_of_a_workbook_can_be_chosen(as_owner, upload_file, run_job, url):
    book = xlsx({"Orders": GOOD, "Archive": [["frage", "antwort"], ["Hallo", "Guten Tag"]]})
    item = run_job(upload_file(as_owner, "orders.xlsx", book))
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "(one of 2)" in page
    assert "Encoding" not in page
    as_owner.post(
        url("inspect_again", import_id=item.pk), {"sheet": "Archive", "has_header": "yes"}
    )
    item = run_job(item)
    assert item.shape["sheet"] == "Archive"
    assert "Guten Tag" in as_owner.get(url("detail", import_id=item.pk)).content.decode()


def test_another_file_of_a_zip_is_inspected_anew(as_owner, upload_file, run_job, url, dataset):
    """The form's encoding and columns belong to the first file."""
    files = zipped(
        {
            "a.csv": "prompt;answer\nGrüße;Hallo\n".encode("cp1252") * 2,
            "b.jsonl": '{"prompt": "Größe", "answer": "Hallo"}',
        }
    )
    item = run_job(upload_file(as_owner, "files.zip", files))
    assert item.shape["encoding"] == "cp1252"
    form = {"member": "b.jsonl", "encoding": "cp1252", "delimiter": ";", "has_header": "yes"}
    as_owner.post(url("inspect_again", import_id=item.pk), form)
    item = run_job(item)
    assert (item.shape["member"], item.shape["encoding"]) == ("b.jsonl", "utf-8")
    as_owner.post(
        url("confirm", import_id=item.pk), {"prompt": "prompt", "answer": "answer", "add": "1"}
    )
    run_job(item)
    assert dataset.examples.get().prompt == "Größe"


def test_an_unknown_sheet_is_rejected(as_owner, upload_file, run_job, url):
    item = run_job(upload_file(as_owner, "orders.xlsx", xlsx({"Orders": GOOD, "Archive": GOOD})))
    as_owner.post(url("inspect_again", import_id=item.pk), {"sheet": "Other"})
    item.refresh_from_db()
    assert item.step == Import.Step.CONFIRM

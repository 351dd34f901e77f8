"""The question about the columns: guessed, shown, corrected, answered."""

import pytest

from finetune_app.datasets.models import Import
from tests.worker.imports.files import GOOD, xlsx, zipped

STRANGE = b"""id;mails;antw;handled_by
1;Is my bike ready?;topic: repair_status;Jonas
2;Where is my parcel?;topic: order_delay;Mara
3;I want my money back;topic: return;Mara
"""


@pytest.fixture
def strange(as_owner, send, work) -> Import:
    """A file whose columns have names we do not know."""
    return work(send(as_owner, "mailbox.csv", STRANGE))


def test_it_asks_which_column_answers(as_owner, strange, url):
    page = as_owner.get(url("detail", import_id=strange.pk)).content.decode()
    assert "Which column holds the answers?" in page
    assert "handled_by" in page
    assert "Add 3 examples" not in page


def test_a_choice_shows_the_rows_before_anything_is_added(as_owner, strange, url, dataset):
    form = {"prompt": "mails", "answer": "antw", "look": "1"}
    page = as_owner.post(url("confirm", import_id=strange.pk), form).content.decode()
    assert "Is this how it should learn?" in page
    assert "Is my bike ready?" in page
    assert "repair_status" in page
    assert not dataset.examples.exists()


def test_htmx_gets_the_samples_and_the_next_bar_only(as_owner, strange, url):
    form = {"prompt": "mails", "answer": "antw"}
    address = url("confirm", import_id=strange.pk)
    page = as_owner.post(address, form, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in page
    assert "Is my bike ready?" in page
    assert 'id="next"' in page
    assert "Add the examples" in page


def test_the_confirmed_columns_are_read(as_owner, strange, url, work, dataset):
    form = {"prompt": "mails", "answer": "antw", "add": "1"}
    as_owner.post(url("confirm", import_id=strange.pk), form)
    item = work(strange)
    assert item.step == Import.Step.DONE
    first = dataset.examples.order_by("number").first()
    assert (first.prompt, first.answer) == ("Is my bike ready?", "topic: repair_status")


def test_one_column_cannot_be_both(as_owner, strange, url):
    form = {"prompt": "mails", "answer": "mails", "add": "1"}
    reply = as_owner.post(url("confirm", import_id=strange.pk), form)
    assert reply.status_code == 422
    assert "cannot be the same column" in reply.content.decode()


def test_a_column_that_is_not_there_is_refused(as_owner, strange, url):
    form = {"prompt": "mails", "answer": "secret", "add": "1"}
    assert as_owner.post(url("confirm", import_id=strange.pk), form).status_code == 422
    strange.refresh_from_db()
    assert strange.step == Import.Step.CONFIRM


def test_a_double_click_reads_once(as_owner, strange, url, dataset, work):
    form = {"prompt": "mails", "answer": "antw", "add": "1"}
    as_owner.post(url("confirm", import_id=strange.pk), form)
    as_owner.post(url("confirm", import_id=strange.pk), form)
    work(strange)
    assert dataset.examples.count() == 3


def test_the_delimiter_can_be_corrected(as_owner, send, work, url):
    item = work(send(as_owner, "odd.csv", b"prompt,a;answer,b\nOne, two;Three, four\n"))
    given = {"encoding": "utf-8", "delimiter": ";", "has_header": "yes"}
    as_owner.post(url("inspect_again", import_id=item.pk), given)
    item = work(item)
    assert item.shape["columns"] == ["prompt,a", "answer,b"]


def test_the_encoding_can_be_corrected(as_owner, send, work, url):
    content = "prompt,answer\nŁódź?,Tak\n".encode("cp1250")
    item = work(send(as_owner, "pl.csv", content))
    as_owner.post(url("inspect_again", import_id=item.pk), {"encoding": "cp1250"})
    item = work(item)
    assert item.shape["rows"][0]["cells"]["prompt"] == "Łódź?"


def test_a_file_that_cannot_be_read_says_why_and_changes_nothing(
    as_owner, send, work, url, dataset
):
    item = work(send(as_owner, "budget.xlsx", b"PK\x03\x04 and so on"))
    assert item.step == Import.Step.FAILED
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "The file is cut off or damaged" in page
    assert "Choose another file" in page
    assert not dataset.examples.exists()


def test_a_split_column_is_respected(as_owner, send, work, url, dataset):
    rows = [f"Question {n}?,Answer {n},{s}" for n, s in enumerate(["train", "dev", "test"] * 4)]
    item = work(send(as_owner, "s.csv", "\n".join(["prompt,answer,split", *rows]).encode()))
    assert item.mapping["split"] == "split"
    form = {"prompt": "prompt", "answer": "answer", "split": "split", "add": "1"}
    as_owner.post(url("confirm", import_id=item.pk), form)
    work(item)
    assert set(dataset.examples.values_list("answer", "split")) >= {
        ("Answer 0", "train"),
        ("Answer 1", "validation"),
        ("Answer 2", "test"),
    }


def test_the_waiting_page_polls_until_the_work_is_done(as_owner, send, work, url):
    item = send(as_owner, "pairs.csv", b"prompt,answer\nHello,Good morning\n")
    address = url("detail", import_id=item.pk)
    assert "every 1s" in as_owner.get(address).content.decode()
    work(item)
    reply = as_owner.get(address, headers={"HX-Request": "true"})
    assert reply["HX-Redirect"] == address


def test_only_editors_confirm(strange, as_viewer, as_stranger, as_owner, url):
    form = {"prompt": "mails", "answer": "antw", "add": "1"}
    address = url("confirm", import_id=strange.pk)
    assert as_viewer.post(address, form).status_code == 403
    assert as_stranger.post(address, form).status_code == 404
    assert as_owner.get(address).status_code == 405
    assert as_viewer.get(url("detail", import_id=strange.pk)).status_code == 200
    assert as_stranger.get(url("detail", import_id=strange.pk)).status_code == 404


def test_left_out_rows_are_listed_and_downloadable(as_owner, as_stranger, send, work, url, dataset):
    content = b"prompt,answer\nHello,Good morning\nNo answer,\n" + b"Bad,\n" * 300
    item = work(send(as_owner, "p.csv", content))
    as_owner.post(
        url("confirm", import_id=item.pk), {"prompt": "prompt", "answer": "answer", "add": "1"}
    )
    item = work(item)
    assert (item.rows_kept, item.rejected_count, len(item.rejected)) == (1, 301, 200)
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "301 rows were left out" in page
    reply = as_owner.get(url("rejected_rows", import_id=item.pk))
    lines = b"".join(reply.streaming_content).splitlines()
    assert len(lines) == 1 + 301  # the names of the columns, then the rows
    assert "attachment" in reply["Content-Disposition"]
    assert as_stranger.get(url("rejected_rows", import_id=item.pk)).status_code == 404


def test_the_second_unknown_column_is_asked_for_next(as_owner, strange, url):
    address = url("confirm", import_id=strange.pk)
    page = as_owner.post(address, {"answer": "antw", "look": "1"}).content.decode()
    assert "Which column holds what is asked?" in page
    assert '<option value="antw" selected>' in page
    page = as_owner.post(address, {"answer": "antw", "prompt": "mails"}).content.decode()
    assert "Is this how it should learn?" in page


def test_another_sheet_of_a_workbook_is_looked_at(as_owner, send, work, url):
    book = xlsx({"Orders": GOOD, "Archive": [["frage", "antwort"], ["Hallo", "Guten Tag"]]})
    item = work(send(as_owner, "orders.xlsx", book))
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "(one of 2)" in page
    assert "Encoding" not in page
    as_owner.post(
        url("inspect_again", import_id=item.pk), {"sheet": "Archive", "has_header": "yes"}
    )
    item = work(item)
    assert item.shape["sheet"] == "Archive"
    assert "Guten Tag" in as_owner.get(url("detail", import_id=item.pk)).content.decode()


def test_another_file_of_a_zip_is_looked_at_afresh(as_owner, send, work, url, dataset):
    """What the form said of the encoding and the columns of the first means nothing there."""
    files = zipped(
        {
            "a.csv": "prompt;answer\nGrüße;Hallo\n".encode("cp1252") * 2,
            "b.jsonl": '{"prompt": "Größe", "answer": "Hallo"}',
        }
    )
    item = work(send(as_owner, "files.zip", files))
    assert item.shape["encoding"] == "cp1252"
    form = {"member": "b.jsonl", "encoding": "cp1252", "delimiter": ";", "has_header": "yes"}
    as_owner.post(url("inspect_again", import_id=item.pk), form)
    item = work(item)
    assert (item.shape["member"], item.shape["encoding"]) == ("b.jsonl", "utf-8")
    as_owner.post(
        url("confirm", import_id=item.pk), {"prompt": "prompt", "answer": "answer", "add": "1"}
    )
    work(item)
    assert dataset.examples.get().prompt == "Größe"


def test_a_sheet_that_is_not_offered_is_refused(as_owner, send, work, url):
    item = work(send(as_owner, "orders.xlsx", xlsx({"Orders": GOOD, "Archive": GOOD})))
    as_owner.post(url("inspect_again", import_id=item.pk), {"sheet": "Other"})
    item.refresh_from_db()
    assert item.step == Import.Step.CONFIRM

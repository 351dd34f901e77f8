"""All prompts, answers, marks and notes as CSV or JSON lines, once the names are shown."""

import csv
import io
import json

from tests.prompt_sheets.conftest import place_of, record, started


def content(reply) -> str:
    return b"".join(reply.streaming_content).decode()


def read_and_show(client, url, sheet) -> None:
    client.post(url("mark", sheet.pk, 0), {"answer": place_of(sheet, 0, "tuned")})
    client.post(url("mark", sheet.pk, 1), {"answer": "none"})
    client.post(url("note", sheet.pk, 0), {"text": "Friendly."})
    client.post(url("show_names", sheet.pk))


def test_the_table_has_a_column_for_each_model_and_two_for_each_person(as_editor, url, sheet):
    read_and_show(as_editor, url, sheet)
    record(sheet, sheet.ordered_candidates()[0], 2, "=1+1")
    reply = as_editor.get(url("download", sheet.pk, "csv"))
    assert "attachment" in reply["Content-Disposition"]
    head, *rows = csv.reader(io.StringIO(content(reply).removeprefix("\ufeff")))
    assert head == [
        "number",
        "prompt",
        "Base model",
        "With a good prompt",
        "Tuned",
        "preferred by Jonas",
        "note of Jonas",
    ]
    assert rows[0][2:] == ["base 0", "prompt 0", "tuned 0", "Tuned", "Friendly."]
    assert rows[1][5:] == ["none of them", ""]
    assert rows[2][2:] == ["'=1+1", "prompt 2", "tuned 2", "", ""], "no spreadsheet runs it"


def test_json_lines_are_exact(as_editor, url, sheet):
    read_and_show(as_editor, url, sheet)
    base = sheet.ordered_candidates()[0]
    record(sheet, base, 0, "", refused=True, why="Too long.")
    text = content(as_editor.get(url("download", sheet.pk, "jsonl")))
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3]
    first = lines[0]
    assert first["prompt"] == "Do you sell tyres?"
    assert first["answers"][0] == {
        "by": "Base model",
        "text": "",
        "refused": "Too long.",
        "tokens": 3,
        "seconds": 0.1,
    }
    assert first["readings"] == [{"by": "Jonas", "preferred": "Tuned", "note": "Friendly."}]
    assert lines[2]["readings"] == [{"by": "Jonas", "preferred": None, "note": None}]


def test_while_the_names_are_hidden_there_is_nothing_to_download(as_editor, as_owner, url, sheet):
    reply = as_editor.get(url("download", sheet.pk, "csv"))
    assert reply.status_code == 409
    assert "Show the names on the page first." in reply.content.decode()
    as_owner.post(url("show_names", sheet.pk))
    assert as_editor.get(url("download", sheet.pk, "csv")).status_code == 409
    assert as_owner.get(url("download", sheet.pk, "csv")).status_code == 200


def test_who_still_marks_is_in_no_file(as_editor, as_viewer, url, sheet):
    as_editor.post(url("note", sheet.pk, 0), {"text": "Not done yet."})
    text = content(as_viewer.get(url("download", sheet.pk, "jsonl")))
    assert "Not done yet." not in text
    assert json.loads(text.splitlines()[0])["readings"] == []


def test_neither_another_form_nor_another_team_nor_an_unfinished_sheet(
    as_viewer, as_stranger, url, sheet, trained, owner
):
    assert as_viewer.get(url("download", sheet.pk, "pdf")).status_code == 404
    assert as_stranger.get(url("download", sheet.pk, "csv")).status_code == 404
    assert as_viewer.post(url("download", sheet.pk, "csv")).status_code == 405
    waiting = started(trained, owner, "tuned")
    assert as_viewer.get(url("download", waiting.pk, "csv")).status_code == 409

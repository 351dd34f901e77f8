"""Broken and hostile files fail with a reason, or their bad rows are listed and the rest kept."""

import json
import os
import subprocess
import sys
import time

import pytest

from worker.channel import UserError
from worker.imports import json_rows, rows
from worker.imports.rows import TOO_LONG

GOOD = "prompt,answer\nHello,Good morning\n"


def import_error(import_file, content: bytes, name: str = "file.csv") -> str:
    with pytest.raises(UserError) as error:
        import_file(content, name)
    assert error.value.code in ("bad_data", "not_text")
    assert len(error.value.message) > 20
    assert "Traceback" not in error.value.message
    return error.value.message


REJECTED_FILES = {
    "empty": (b"", "The file is empty"),
    "only spaces": (b" \n\n \t\r\n", "The file is empty"),
    "only a mark": (b"\xef\xbb\xbf", "The file is empty"),
    "only zeros": (b"\x00" * 5000, "The file is empty"),
    "header only": (b"prompt,answer\n", "no rows below its column names"),
    "empty list": (b"[]", "no rows"),
    "a zip or workbook cut off": (b"PK\x03\x04" + os.urandom(2000), "cut off or damaged"),
    "old excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + os.urandom(500), "old Excel"),
    "pdf": (b"%PDF-1.7\n" + os.urandom(500), "This is a PDF"),
    "parquet cut off": (b"PAR1" + os.urandom(500), "cut off or damaged"),
    "gzip": (b"\x1f\x8b\x08" + os.urandom(500), "compressed"),
    "picture": (b"\x89PNG\r\n\x1a\n" + os.urandom(500), "picture"),
    "a program": (b"MZ" + bytes(range(256)) * 20, "does not look like text"),
    "10k columns": (",".join(f"c{n}" for n in range(10_000)).encode() + b"\n1\n", "10,000 columns"),
    "json of numbers": (b"[1, 2, 3]", "No row of this file can be used"),
    "deep json": (b"[" + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]", "nested too deeply"),
    "deep list": (
        b'{"prompt": "p", "answer": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}",
        "No row of this file can be used",
    ),
}


@pytest.mark.parametrize("start", ["<html><table>", "<?xml version='1.0'?><Workbook>"])
def test_a_web_page_named_xls_is_rejected(import_file, start):
    page = start.encode() + b"<tr><td>prompt</td><td>answer</td></tr>"
    assert "web page or XML" in import_error(import_file, page, "export.xls")
    assert "web page or XML" not in import_error(import_file, b"prompt,answer\n", "export.xls")


@pytest.mark.parametrize("case", REJECTED_FILES)
def test_an_unusable_file_is_rejected_with_a_reason(import_file, case):
    content, message = REJECTED_FILES[case]
    assert message in import_error(import_file, content)


def rejected_rows(result: dict) -> dict[int, str]:
    return {row["line"]: row["reason"] for row in result["rejected"]}


REJECTED_ROWS = {
    "an empty answer": (GOOD + "No answer,\nLast,Kept\n", {3: "“answer” is empty"}, 2),
    "an empty prompt": (GOOD + ",Nothing asked\nLast,Kept\n", {3: "nothing is asked"}, 2),
    "a row too long": (GOOD + "a,b,c,d\nLast,Kept\n", {3: "4 cells"}, 2),
    "a row too short": (GOOD + "alone\nLast,Kept\n", {3: "1 cell"}, 2),
    "a quote never closed": (GOOD + '"Open,end\nLast,Kept\nMore,Kept\n', {3: "never closed"}, 3),
    "a quote never closed at the end": (GOOD + 'Last,"Open\n', {3: "never closed"}, 1),
    "a quote closed two rows on": (GOOD + '"Open,end\nLast,Kept\n"Q","A"\n', {3: "never"}, 3),
    "a zero byte": (GOOD + "a\x00b,c\nLast,Kept\n", {3: "zero byte"}, 2),
    "a cell too large": (GOOD + "p," + "x" * 1_100_000 + "\nLast,Kept\n", {3: "longer than"}, 2),
    "a line beyond all limits": (
        GOOD + "p," + "x" * 9_000_000 + "\nLast,Kept\n",
        {3: "longer than"},
        2,
    ),
}


@pytest.mark.parametrize("case", REJECTED_ROWS)
def test_a_bad_row_is_listed_and_the_rest_is_kept(import_file, case):
    content, expected, count = REJECTED_ROWS[case]
    kept, result = import_file(content.encode())
    assert len(kept) == count
    reasons = rejected_rows(result)
    assert reasons.keys() == expected.keys()
    for line, words in expected.items():
        assert words in reasons[line]


BAD_LINES = {
    "not json": ('{"prompt": "p", "answer": }', "not valid JSON"),
    "cut off": ('{"prompt": "p", "ans', "a quotation mark is missing"),
    "a list": ("[1, 2]", "not a row"),
    "null": ("null", "not a row"),
    "the same name twice": ('{"prompt": "p", "prompt ": "q", "answer": "a"}', "Rename one"),
    "half a character": ('{"prompt": "\\ud800", "answer": "a"}', "broken characters"),
    "escaped zero": ('{"prompt": "a\\u0000", "answer": "a"}', "zero byte"),
    "no answer": ('{"prompt": "p"}', "“answer” is empty"),
    "very deep": ('{"prompt": "p", "answer": ' + "[" * 200 + "]" * 200 + "}", "levels deep"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_one_bad_json_line_rejects_no_other(import_file, case):
    line, words = BAD_LINES[case]
    good = '{"prompt": "Hello", "answer": "Good morning"}'
    kept, result = import_file(f"{good}\n{line}\n\n{good}\n".encode(), "f.jsonl")
    assert len(kept) == 2
    assert list(rejected_rows(result)) == [2]
    assert words in rejected_rows(result)[2]


CHATS = {
    "nobody": ([], "no conversation"),
    "no answer": ([{"role": "user", "content": "x"}], "assistant says nothing"),
    "ends in a question": (
        [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "y"},
            {"role": "user", "content": "z"},
        ],
        "does not end in an answer",
    ),
    "unknown speaker": (
        [{"role": "narrator", "content": "x"}, {"role": "assistant", "content": "y"}],
        "who “narrator” is",
    ),
    "no speaker": ([{"content": "x"}, {"role": "assistant", "content": "y"}], "no speaker"),
    "no text": ([{"role": "user"}, {"role": "assistant", "content": "y"}], "has no text"),
    "empty answer": (
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": "  "}],
        "answer is empty",
    ),
    "a picture": (
        [
            {"role": "user", "content": [{"type": "image_url", "image_url": "x"}]},
            {"role": "assistant", "content": "y"},
        ],
        "other than text",
    ),
    "text": ("hello", "no conversation"),
}


@pytest.mark.parametrize("case", CHATS)
def test_a_conversation_without_an_answer_is_listed(import_file, case):
    messages, words = CHATS[case]
    good = {
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Good morning"},
        ]
    }
    lines = [json.dumps(good), json.dumps({"messages": messages}), json.dumps(good)]
    kept, result = import_file("\n".join(lines).encode(), "f.jsonl")
    assert len(kept) == 2
    assert words in rejected_rows(result)[2]


def test_rows_before_a_json_error_are_kept(import_file):
    good = '{"prompt": "Hello", "answer": "Good morning"}'
    kept, result = import_file(f"[{good},\n{good},\n{{broken".encode(), "f.json")
    assert len(kept) == 2
    assert "The rows before it were read." in rejected_rows(result)[3]


def test_rows_of_a_truncated_json_list_are_kept(import_file):
    good = '{"prompt": "Hello", "answer": "Good morning"}'
    kept, result = import_file(f"[{good},\n{good}".encode(), "f.json")
    assert len(kept) == 2
    assert "breaks off" in next(iter(rejected_rows(result).values()))


def test_a_large_json_object_is_rejected_with_another_format_to_use(import_file, monkeypatch):
    """Its list is inside an object, so it cannot be read row by row."""
    monkeypatch.setattr(json_rows, "MAX_OBJECT_BYTES", 1_000_000)
    row = {"prompt": "Hello", "answer": "Good morning" * 500}
    content = json.dumps({"data": [row] * 1000}).encode()
    message = import_error(import_file, content, "f.json")
    assert "larger than 1 MB" in message
    assert "Save this one as JSON lines" in message
    assert "not valid" not in message


def test_concatenated_json_objects_are_read(import_file, monkeypatch):
    monkeypatch.setattr(json_rows, "MAX_OBJECT_BYTES", 1000)
    row = json.dumps({"prompt": "Hello", "answer": "Good morning"}, indent=1)
    kept, _result = import_file("\n".join([row] * 100).encode(), "f.json")
    assert len(kept) == 100


def test_concatenated_json_lists_are_read(import_file):
    lists = [f'[{{"prompt": "Question {n}", "answer": "yes"}}]\n' for n in range(3)]
    kept, result = import_file("".join(lists).encode(), "all.json")
    assert [row["messages"][0]["content"] for row in kept] == [f"Question {n}" for n in range(3)]
    assert (kept[-1]["line"], result["rejected_count"]) == (3, 0)


def test_text_after_a_json_list_is_listed(import_file):
    content = '[{"prompt": "Hello", "answer": "Good morning"}]\nThe end\n'
    kept, result = import_file(content.encode(), "f.json")
    assert len(kept) == 1
    assert "not valid JSON" in rejected_rows(result)[2]


@pytest.mark.parametrize("messages", [None, 7, {}, []])
def test_empty_messages_beside_the_rows_are_ignored(import_file, messages):
    content = {"messages": messages, "rows": [{"prompt": "Hello", "answer": "Good morning"}]}
    kept, _result = import_file(json.dumps(content, indent=1).encode(), "f.json")
    assert len(kept) == 1


def test_invalid_utf8_is_listed_and_does_not_change_the_encoding(import_file):
    rows = "".join(f"Größe {n}?,Natürlich\n" for n in range(50))
    content = ("prompt,answer\n" + rows).encode() + b"br\xffken,row\n" + "Ende,Güt\n".encode()
    kept, result = import_file(content)
    assert len(kept) == 51
    assert "broken characters" in rejected_rows(result)[52]


def test_mixed_line_ends_and_blank_lines_are_read(import_file):
    kept, result = import_file(b"prompt,answer\r\nA,1\n\r\nB,2\rC,3\r\n\n")
    assert [row["messages"][0]["content"] for row in kept] == ["A", "B", "C"]
    assert result["rejected_count"] == 0


def test_unnamed_and_duplicate_columns_get_unique_names(stored, channel):
    from worker.imports.inspect import inspect_file

    inspection = inspect_file(stored(b"prompt,answer,answer,,\nA,B,C,D,E\n"), "f.csv", {}, channel)
    columns = inspection["shape"]["columns"]
    assert columns == ["prompt", "answer", "answer (2)", "Column 4", "Column 5"]


def test_right_to_left_emoji_and_zero_width_text_is_kept(import_file):
    text = "שלום 👩‍👩‍👧 \u200bעולם \u202eabc"
    kept, _result = import_file(f"prompt,answer\n{text},{text}\n".encode())
    assert kept[0]["messages"][1]["content"] == text


def test_the_file_extension_is_ignored(import_file):
    kept, _result = import_file(b'{"prompt": "Hello", "answer": "Good morning"}\n', "table.csv")
    assert len(kept) == 1


def test_many_open_quotes_are_read_in_linear_time(import_file):
    content = "prompt,answer\n" + 'a,"b\n' * 3_000 + "Last,Kept\n"
    started_at = time.monotonic()
    _kept, result = import_file(content.encode())
    assert result["rows"] > 0
    assert time.monotonic() - started_at < 60  # minutes if it were quadratic in characters


SNIPPET = """
import json, sys
from pathlib import Path
from worker.channel import Job, UserError
from worker.imports import limits, run
class SilentChannel:
    def emit(self, event, **fields): pass
    def stopping(self): return False
    def check(self): pass
limits.MEMORY_BYTES = int(sys.argv[2])
limits.CPU_SECONDS = int(sys.argv[3])
file = Path(sys.argv[1])
try:
    run.run(Job("import", file.parent, {"step": "inspect", "file": str(file)}), SilentChannel())
    print("fine")
except UserError as error:
    print(error.message)
"""


def in_child(path, memory: int, seconds: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SNIPPET, str(path), str(memory), str(seconds)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout.strip() or done.stderr[-500:]


def test_exceeding_the_memory_limit_is_reported(stored):
    rows = ",".join(['{"prompt": "%s", "answer": "y"}' % ("x" * 900)] * 40_000)
    path = stored(f'{{"data": [{rows}]}}'.encode())
    assert "needs more memory than an import may use" in in_child(path, 60_000_000, 60)


def test_exceeding_the_cpu_limit_is_reported(stored):
    path = stored(b"prompt,answer\n" + b"Hello there,Good morning\n" * 1_500_000)
    assert "took too long" in in_child(path, 1_500_000_000, 1)


def test_an_ordinary_file_stays_within_the_limits(stored):
    path = stored(b"prompt,answer\n" + b"Hello there,Good morning\n" * 10_000)
    assert in_child(path, 1_500_000_000, 60) == "fine"


def test_a_line_inside_a_cell_that_is_too_long_rejects_its_row(import_file, monkeypatch):
    monkeypatch.setattr(rows, "MAX_ROW_CHARACTERS", 40)
    content = f'{GOOD}"Before\n{"x" * 60}\nafter",Yes\nBye,See you\n'
    kept, result = import_file(content.encode())
    assert [row["messages"][0]["content"] for row in kept] == ["Hello", "Bye"]
    assert rejected_rows(result) == {3: TOO_LONG}

"""Formats and encodings are recognised, and texts are kept exactly."""

import json

import pytest

from worker.channel import UserError
from worker.imports.file_format import iter_rows
from worker.imports.inspect import INFERENCE_ROWS, inspect_file
from worker.imports.limits import MAX_COLUMNS

HELLO = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good morning"}]


def pairs(rows: list[dict]) -> list[tuple[str, str]]:
    return [(row["messages"][-2]["content"], row["messages"][-1]["content"]) for row in rows]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": HELLO},
        {"prompt": "Hello", "response": "Good morning"},
        {"prompt": "Hello", "completion": "Good morning"},
        {"instruction": "Hello", "input": "", "output": "Good morning"},
        {"question": "Hello", "answer": "Good morning", "id": 7, "source": "x"},
        {
            "conversations": [
                {"from": "human", "value": "Hello"},
                {"from": "gpt", "value": "Good morning"},
            ]
        },
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Hello"}]},
                {"role": "model", "parts": [{"text": "Good morning"}]},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
                {"role": "assistant", "content": "Good morning"},
            ]
        },
    ],
)
@pytest.mark.parametrize("shape", ["jsonl", "list", "pretty", "object"])
def test_every_layout_of_json_is_read(import_file, row, shape):
    rows = [row] * 3
    content = {
        "jsonl": "\n".join(json.dumps(one) for one in rows),
        "list": json.dumps(rows),
        "pretty": json.dumps(rows, indent=2),
        "object": json.dumps({"name": "mine", "data": rows}),
    }[shape]
    kept, result = import_file(content.encode(), "file.json")
    assert [one["messages"] for one in kept] == [HELLO] * 3
    assert result["rejected_count"] == 0


def asked(name: str, count: int, **more: str) -> list[dict]:
    return [{"prompt": f"{name} {n}?", "answer": f"Answer {n}", **more} for n in range(count)]


def test_lists_called_by_splits_are_all_read_into_theirs(import_file):
    content = {"train": asked("learn", 8), "Dev": asked("practice", 2), "test": asked("keep", 3)}
    kept, result = import_file(json.dumps(content).encode(), "file.json")
    splits = [
        (prompt.split()[0], row["split"])
        for (prompt, _), row in zip(pairs(kept), kept, strict=True)
    ]
    assert splits == (
        [("learn", "train")] * 8 + [("practice", "validation")] * 2 + [("keep", "test")] * 3
    )
    assert [row["line"] for row in kept] == list(range(1, 14))
    assert (result["rows"], result["rejected_count"]) == (13, 0)
    assert result["splits"] == ["test", "train", "validation"]


@pytest.mark.parametrize("column", ["split", "Split", "set"])
def test_a_row_that_names_its_own_split_keeps_it(import_file, column):
    own = asked("own", 1, **{column: "test"})
    content = {"train": [*asked("learn", 2, **{column: ""}), *own], "test": asked("keep", 2)}
    kept, _result = import_file(json.dumps(content).encode(), "file.json")
    assert [row["split"] for row in kept] == ["train", "train", "test", "test", "test"]


def test_a_bad_row_in_one_of_several_lists_is_listed(import_file):
    content = {"train": [*asked("learn", 2), "not a row"], "test": asked("keep", 2)}
    kept, result = import_file(json.dumps(content).encode(), "file.json")
    assert [row["split"] for row in kept] == ["train", "train", "test", "test"]
    assert [row["line"] for row in result["rejected"]] == [3]


def test_of_other_lists_the_longest_is_read_and_the_rest_is_named(stored, import_file, channel):
    """A list that nobody reads may be somebody's own test."""
    content = {"pairs": asked("learn", 8), "test": asked("keep", 3), "meta": [{"version": 2}]}
    kept, result = import_file(json.dumps(content).encode(), "file.json")
    assert len(kept) == 8
    assert all(row["split"] == "" for row in kept)
    test, meta = [row["reason"] for row in result["rejected"]]
    assert "“test” holds 3 rows" in test
    assert "“meta” holds 1 row" in meta
    shape = inspect_file(stored(json.dumps(content).encode()), "f.json", {}, channel)["shape"]
    assert (shape["row_count"], shape["usable"], shape["unreadable"]) == (10, 8, 2)
    assert result["rows"] == shape["row_count"]
    assert [row["reason"] for row in shape["first_unreadable"]] == [test, meta]


def test_empty_lists_beside_the_rows_change_nothing(import_file):
    content = {"train": asked("learn", 8), "validation": [], "test": [], "tags": ["a", "b"]}
    kept, result = import_file(json.dumps(content).encode(), "file.json")
    assert [row["split"] for row in kept] == [""] * 8
    assert result["rejected_count"] == 0


def test_instruction_and_input_are_one_prompt(import_file):
    row = {"instruction": "Translate", "input": "Guten Tag", "output": "Good day"}
    kept, _result = import_file(json.dumps([row]).encode())
    assert pairs(kept) == [("Translate\n\nGuten Tag", "Good day")]


def test_system_messages_and_several_turns_are_kept(import_file):
    turns = [
        {"from": "system", "value": "Be brief"},
        {"from": "human", "value": "One"},
        {"from": "gpt", "value": "Two"},
        {"from": "human", "value": "Three"},
        {"from": "gpt", "value": "Four"},
    ]
    kept, _result = import_file(json.dumps({"conversations": turns}).encode())
    roles = [message["role"] for message in kept[0]["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant"]


EXACT = ["NA", "None", "null", "00712", "1e5", " spaced ", "1.10", "TRUE", "línea\nnueva", '"q"']


def test_table_cells_are_kept_exactly(import_file):
    rows = "".join('Q{},"{}"\n'.format(n, text.replace('"', '""')) for n, text in enumerate(EXACT))
    kept, result = import_file(("prompt,answer\n" + rows).encode())
    assert [answer for _prompt, answer in pairs(kept)] == EXACT
    assert result["rejected_count"] == 0


def test_json_numbers_keep_their_digits(import_file):
    big = "9" * 5000
    lines = [f'{{"prompt": "p", "answer": {n}}}' for n in ("1.10", "1e400", big, "NaN", "-0")]
    kept, _result = import_file("\n".join(lines).encode(), "n.jsonl")
    assert [answer for _p, answer in pairs(kept)] == ["1.10", "1e400", big, "NaN", "-0"]


def test_a_nested_answer_stays_json_with_its_digits(import_file):
    line = '{"prompt": "p", "answer": {"total": 1.10, "items": ["ä", null, true]}}'
    kept, _result = import_file(line.encode(), "n.jsonl")
    assert pairs(kept) == [("p", '{"total": 1.10, "items": ["ä", null, true]}')]


TEXT = "prompt{d}answer\nÜber Größe fragen{d}Natürlich, gern für dich geöffnet\n"
RUSSIAN = """prompt{d}answer
Когда будет готов мой велосипед?{d}Завтра утром, приходите
Сколько стоит новая цепь?{d}Двадцать рублей
"""
JAPANESE = """prompt{d}answer
自転車の修理はいつ終わりますか{d}明日の朝に終わります
新しいチェーンはいくらですか{d}二千円です
"""
CHINESE = """prompt{d}answer
我的自行车什么时候修好{d}明天早上可以来取
新的链条多少钱{d}二十元
"""
CASES = [
    ("utf-8", ",", TEXT),
    ("utf-8-sig", ";", TEXT),
    ("utf-16", "\t", TEXT),
    ("utf-16-le", ",", TEXT),
    ("utf-16-be", ";", TEXT),
    ("utf-32", ",", TEXT),
    ("cp1252", ";", TEXT + "Preis{d}20 €, „gern“\n"),
    ("iso-8859-1", "\t", TEXT),
    ("cp1251", ";", RUSSIAN),
    ("shift_jis", "\t", JAPANESE),
    ("gb18030", ",", CHINESE),
]


@pytest.mark.parametrize(("encoding", "delimiter", "text"), CASES)
def test_encodings_and_delimiters_are_detected(import_file, encoding, delimiter, text):
    text = (
        text.replace("{d}", delimiter)
        .replace("Natürlich, gern", "Natürlich gern" if delimiter == "," else "Natürlich, gern")
        .replace(", „", " „" if delimiter == "," else ", „")
    )
    kept, result = import_file(text.encode(encoding))
    expected = [tuple(line.split(delimiter)) for line in text.splitlines()[1:]]
    assert pairs(kept) == expected
    assert result["rejected_count"] == 0


def test_a_table_without_a_header_is_read_from_its_first_row(import_file):
    content = b"How do I reset my password?,Press reset.\nWhere are you?,In Kettle Lane.\n"
    kept, _result = import_file(content)
    assert len(kept) == 2


TITLED = (
    "Requests 2026;;\r\n\r\nNr;Anfrage;Thema\r\n1;Wo ist mein Paket?;lieferung\r\n"
    "2;Was kostet das?;zahlung\r\n"
)


@pytest.mark.parametrize(
    "text",
    [
        TITLED,
        TITLED.replace(";;", "", 1),
        TITLED.replace("\r\n\r\n", "\r\n").replace("Anfrage;Thema", "question;answer"),
        TITLED.replace("\r\n\r\n", "\r\n"),  # recognised as names by their form
    ],
)
def test_a_title_above_the_header_is_listed(stored, channel, text):
    path = stored(text.encode("cp1252"))
    shape = inspect_file(path, "mails.csv", {}, channel)["shape"]
    assert (shape["has_header"], len(shape["columns"]), shape["columns"][0]) == (True, 3, "Nr")
    title, *rows = iter_rows(path, shape)
    assert (title.line, title.reason) == (1, "It stands above the names of the columns.")
    assert [row.cells["Nr"] for row in rows] == ["1", "2"]


@pytest.mark.parametrize(
    "text",
    [
        "Wo ist es?;\nIst mein Rad fertig;lieferung\nWas kostet das?;zahlung\n",  # two columns
        "Wo ist es;;\nWas kostet es;zahlung;hoch\nIst es fertig;lieferung;hoch\n",  # all alike
    ],
)
def test_a_first_row_with_empty_cells_is_no_title(stored, channel, text):
    path = stored(text.encode())
    assert inspect_file(path, "mails.csv", {}, channel)["shape"]["starts"] == 1


def test_a_single_column_may_contain_delimiters(stored, channel):
    path = stored(b"prompt\nHello, when is it ready?\nIs it open today; or not?\n")
    shape = inspect_file(path, "ask.csv", {}, channel)["shape"]
    assert shape["columns"] == ["prompt"]
    texts = [row.cells["prompt"] for row in iter_rows(path, shape)]
    assert texts == ["Hello, when is it ready?", "Is it open today; or not?"]


def test_a_first_row_without_an_answer_is_no_title(stored, channel):
    path = stored(b"hello,\nthanks,greeting\nis it ready?,status\n")
    shape = inspect_file(path, "mails.csv", {}, channel)["shape"]
    assert shape["has_header"] is False
    assert [row.line for row in iter_rows(path, shape)] == [1, 2, 3]


def test_quoted_cells_keep_commas_quotes_and_line_breaks(import_file):
    content = b'prompt,answer\n"Hello, ""you""\nthere","one, two"\n'
    kept, _result = import_file(content)
    assert pairs(kept) == [('Hello, "you"\nthere', "one, two")]


def test_progress_is_reported_in_bytes_and_rows(import_file, channel, monkeypatch):
    monkeypatch.setattr("worker.imports.progress.REPORT_SECONDS", 0)
    content = b"prompt,answer\n" + b"Hello,Good morning\n" * 5000
    import_file(content)
    progress = [fields for event, fields in channel.events if event == "progress"]
    assert progress[-1]["done"] == progress[-1]["total"] == len(content)
    assert progress[-1]["rows"] == 5000
    assert progress[-1]["unit"] == "bytes"
    reading = progress[len(progress) // 2 :]
    assert [one["done"] for one in reading] == sorted(one["done"] for one in reading)
    assert 0 < reading[0]["done"] < len(content)
    phases = [fields["message"] for event, fields in channel.events if event == "phase"]
    assert phases[-1].startswith("5,000 rows so far, ")


def test_a_column_that_comes_late_can_be_chosen(stored, channel):
    rows = [{"prompt": f"Question {n}", "answer": "Yes"} for n in range(INFERENCE_ROWS + 50)]
    rows.append({"prompt": "The last one", "answer": "No", "split": "test"})
    path = stored("\n".join(map(json.dumps, rows)).encode())
    shape = inspect_file(path, "pairs.jsonl", {}, channel)["shape"]
    assert shape["columns"] == ["prompt", "answer", "split"]
    assert shape["filled"]["split"] == 1


def test_names_that_come_late_are_too_many_as_well(stored, channel):
    rows = [{"prompt": f"Question {n}", "answer": "Yes"} for n in range(INFERENCE_ROWS)]
    rows.append({f"name {n}": "x" for n in range(MAX_COLUMNS)})
    path = stored("\n".join(map(json.dumps, rows)).encode())
    with pytest.raises(UserError, match="different names"):
        inspect_file(path, "pairs.jsonl", {}, channel)

"""What a format cannot represent is an error before anything is sent."""

import csv
import io
import json

import pytest

from finetune_app.core.errors import PlainError
from finetune_app.datasets import example_export
from finetune_app.datasets.example_export import TableLayout
from finetune_app.datasets.version_rows import Rows
from tests.example_rows import conversation

SYSTEM = {"role": "system", "content": "Be brief"}
CHAT = [*conversation("Hello", "Hi"), *conversation("Bye", "Take care")]


def rows(*conversations: list[dict]) -> Rows:
    found = [
        {"id": number, "split": "train", "messages": messages, "source": "f"}
        for number, messages in enumerate(conversations, 1)
    ]
    return lambda: iter(found)


def table(some: Rows, **layout) -> list[list[str]]:
    content = b"".join(example_export.table_pieces(some, TableLayout(**layout)))
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_table_only_has_needed_columns():
    pair = conversation("Hello", "Hi")
    assert table(rows(pair))[0] == ["number", "split", "prompt", "answer"]
    names = table(rows(pair, [SYSTEM, *pair]))[0]
    assert names == ["number", "split", "system", "prompt", "answer"]
    assert table(rows(pair), columns="pairs") == [["prompt", "answer"], ["Hello", "Hi"]]
    whole = table(rows(pair, CHAT))
    assert whole[0] == ["number", "split", "prompt", "answer", "messages"]
    assert json.loads(whole[1][-1]) == pair
    assert json.loads(whole[2][-1]) == CHAT
    assert whole[2][2:4] == ["Bye", "Take care"]


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-2", "@SUM(A1)", "\tx", "\rx", "\nx"])
def test_formulas_are_written_as_text(text):
    assert table(rows(conversation(text, text)), columns="pairs")[1] == ["'" + text] * 2
    assert table(rows(conversation(text, text)), columns="pairs", exact=True)[1] == [text] * 2


def test_error_names_the_unencodable_character():
    with pytest.raises(PlainError, match="Example 2 holds “ł”, which CP1252 cannot write"):
        example_export.table_pieces(
            rows(conversation("Größe", "ja"), conversation("a", "Zła")), TableLayout("cp1252")
        )


def test_a_group_that_cannot_be_written_is_an_error():
    grouped = [row | {"group": "Łódź"} for row in rows(CHAT)()]
    with pytest.raises(PlainError, match="Example 1 holds “Ł”"):
        example_export.table_pieces(lambda: iter(grouped), TableLayout("cp1252"))


def test_byte_order_mark_is_written_once():
    content = b"".join(example_export.blocks(iter(["a" * example_export.BLOCK, "b"]), "utf-16"))
    assert content.decode("utf-16") == "a" * example_export.BLOCK + "b"
    assert content[2:].count(b"\xff\xfe") == 0


def test_alpaca_needs_alternating_turns_and_vertex_leading_instructions():
    twice = [*conversation("Hello", "Hi")[:1], *CHAT]
    with pytest.raises(PlainError, match="do not take turns"):
        example_export.json_pieces("alpaca", rows(twice))
    middle = [*conversation("Hello", "Hi"), SYSTEM, *conversation("Bye", "Take care")]
    with pytest.raises(PlainError, match="in the middle"):
        example_export.json_pieces("vertex", rows(middle))
    assert b"".join(example_export.json_pieces("sharegpt", rows(middle)))


@pytest.mark.parametrize("form", ["alpaca", "vertex"])
def test_answers_that_are_not_learned_need_a_format_with_weights(form):
    weighted = [CHAT[0], CHAT[1] | {"weight": 0}, *CHAT[2:]]
    with pytest.raises(PlainError, match="not learned"):
        example_export.json_pieces(form, rows(CHAT, weighted))


def test_excel_limits_are_errors(monkeypatch):
    example_export.require_excel(rows(CHAT))
    with pytest.raises(PlainError, match="32,767 characters"):
        example_export.require_excel(rows(conversation("x" * 40_000, "y")))
    monkeypatch.setattr(example_export, "EXCEL_ROWS", 1)
    with pytest.raises(PlainError, match="1 rows"):
        example_export.require_excel(rows(CHAT, CHAT))


def test_a_conversation_that_is_too_long_for_a_cell_of_excel_is_an_error():
    """Of several turns all of it is in one cell; a question and its answer are in two."""
    long = conversation("x" * 20_000, "y" * 20_000)
    example_export.require_excel(rows(long))
    with pytest.raises(PlainError, match="32,767 characters"):
        example_export.require_excel(rows(long, CHAT))


def test_excel_counts_an_emoji_as_two_characters():
    with pytest.raises(PlainError, match="32,767 characters"):
        example_export.require_excel(rows(conversation("🚲" * 20_000, "y")))


def test_empty_list_is_valid_json():
    assert json.loads(b"".join(example_export.json_pieces("json", rows()))) == []

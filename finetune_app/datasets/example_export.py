"""Writes a version's rows in every format that can be imported, with one row in memory at a time.

Excel and Parquet are written by worker/dataset_export.py, which gets its tables from here.
"""

import codecs
import csv
import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.core.chat_messages import Message
from finetune_app.core.errors import PlainError
from finetune_app.core.text_formats import safe_cell
from finetune_app.core.tool_calls import answer_text
from finetune_app.datasets.version_rows import (
    THOUGHT,
    TOOL_KEYS,
    Facts,
    Row,
    Rows,
    facts_of,
    split_off,
    spoken,
)

BLOCK = 1 << 18  # approximate bytes of one piece of the response
EXCEL_CELL, EXCEL_ROWS = 32_767, 1_048_575
TYPES = {
    ".jsonl": "application/x-ndjson",
    ".json": "application/json",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".parquet": "application/vnd.apache.parquet",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
FORMATS = {  # the name in the address: the ending of the file
    "jsonl": ".jsonl",
    "openai": ".jsonl",
    "vertex": ".jsonl",
    "sharegpt": ".json",
    "alpaca": ".json",
    "prompts": ".jsonl",
    "json": ".json",
    "csv": ".csv",
    "tsv": ".tsv",
    "xlsx": ".xlsx",
    "parquet": ".parquet",
}


@dataclass(frozen=True)
class TableLayout:
    """How a table is written. With the layout of an imported file, the same bytes are written."""

    encoding: str = "utf-8-sig"  # spreadsheets recognise UTF-8 by its byte order mark
    delimiter: str = ","
    line_end: str = "\r\n"
    quote_all: bool = False
    columns: str = "all"  # or "pairs": without number, split and group
    exact: bool = False  # True: no ' before a cell that a spreadsheet would run


# ---- JSON formats ----


def openai(row: Row, facts: Facts) -> Any:
    """A conversation; if every row is a pair, OpenAI's format for preferences."""
    tools = {key: row[key] for key in TOOL_KEYS if key in row}  # type: ignore[literal-required]
    messages = [_openai_message(message) for message in row["messages"]]
    if not facts.only_pairs:
        return {"messages": messages, **tools, **_worse(row)}
    *before, answer = messages
    return {
        "input": {"messages": before, **tools},
        "preferred_output": [answer],
        "non_preferred_output": [{"role": "assistant", "content": row["rejected"]}],
    }


def _openai_message(message: Message) -> Any:
    """A message that only calls tools has no content there."""
    calls_only = "tool_calls" in message and not message["content"]
    return message | {"content": None} if calls_only else message


def _worse(row: Row) -> dict[str, str]:
    """The key of a pair, under which every import here finds it."""
    return {"rejected": row["rejected"]} if "rejected" in row else {}


def vertex(row: Row, _facts: Facts) -> Any:
    system, rest = split_off(row["messages"])
    start = {"systemInstruction": {"role": "system", "parts": [{"text": system}]}} if system else {}
    roles = {"user": "user", "assistant": "model"}
    return start | {
        "contents": [
            {"role": roles[message["role"]], "parts": [{"text": spoken(message)}]}
            for message in rest
        ]
    }


def sharegpt(row: Row, _facts: Facts) -> Any:
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    return {
        "conversations": [
            {"from": names[message["role"]], "value": spoken(message)}
            | ({"weight": message["weight"]} if "weight" in message else {})
            for message in row["messages"]
        ]
    } | _worse(row)


def alpaca(row: Row, facts: Facts) -> Any:
    system, rest = split_off(row["messages"])
    *before, asked, answer = rest
    one: dict[str, Any] = {
        "instruction": asked["content"],
        "input": "",
        "output": spoken(answer),
    }
    if facts.system:
        one["system"] = system
    if not facts.simple:
        texts = [spoken(message) for message in before]
        one["history"] = [list(pair) for pair in zip(texts[::2], texts[1::2], strict=True)]
    return one | _worse(row)


def prompts(row: Row, facts: Facts) -> Any:
    """Texts if every row is one question and its answer; else lists of messages, as in TRL. If
    every row is a pair, its answers are called as TRL calls them."""
    *before, answer = row["messages"]
    better = "chosen" if facts.only_pairs else "completion"
    if facts.simple and not facts.system:
        return {"prompt": before[0]["content"], better: spoken(answer)} | _worse(row)
    found: dict[str, Any] = {"prompt": before, better: [answer]}
    if "rejected" in row:
        found["rejected"] = [{"role": "assistant", "content": row["rejected"]}]
    return found


def whole(row: Row, _facts: Facts) -> Any:
    return row


def json_pieces(form: str, rows: Rows) -> Generator[bytes]:
    """JSON lines or one list. Raises PlainError if the format cannot represent the rows."""
    dialect = {
        "openai": openai,
        "vertex": vertex,
        "sharegpt": sharegpt,
        "alpaca": alpaca,
        "prompts": prompts,
        "json": whole,
    }[form]
    facts = facts_of(rows)
    if facts.tools and form not in ("openai", "json"):
        raise PlainError(
            _("Some rows have tools, which this format cannot represent. Choose OpenAI or JSON."),
            status=409,
        )
    if form in ("alpaca", "vertex") and facts.unlearned:
        raise PlainError(
            _(
                "Some answers are read and not learned, which this format cannot represent. "
                "Choose OpenAI or ShareGPT."
            ),
            status=409,
        )
    if form in ("vertex", "sharegpt", "alpaca", "prompts") and not facts.plain_thoughts:
        raise PlainError(
            _(
                "Some thoughts or their answers begin or end with a line break or hold “</think>”, "
                "which this format cannot represent. Choose JSON lines or OpenAI."
            ),
            status=409,
        )
    if form == "vertex" and facts.pairs:
        raise PlainError(
            _(
                "Some examples have a worse answer, which this format cannot represent. "
                "Choose JSON lines or OpenAI."
            ),
            status=409,
        )
    if form == "alpaca" and not facts.turns:
        raise PlainError(
            _(
                "Some conversations do not take turns, which the Alpaca format cannot represent. "
                "Choose ShareGPT or OpenAI."
            ),
            status=409,
        )
    if form == "vertex" and any(
        message["role"] == "system" for row in rows() for message in row["messages"][1:]
    ):
        raise PlainError(
            _(
                "Some conversations have instructions in the middle, which Vertex cannot "
                "represent. Choose ShareGPT or OpenAI."
            ),
            status=409,
        )
    a_list = FORMATS[form] == ".json"
    return blocks(_json_texts(rows, lambda row: dialect(row, facts), a_list), "utf-8")


def _json_texts(rows: Rows, dialect: Callable[[Row], Any], a_list: bool) -> Iterator[str]:
    between = "[\n"
    for row in rows():
        text = json.dumps(dialect(row), ensure_ascii=False)
        yield between + text if a_list else text + "\n"
        between = ",\n"
    if a_list:
        yield "[]\n" if between == "[\n" else "\n]\n"


# ---- Tables ----


def table(rows: Rows, facts: Facts, columns: str) -> Iterator[list[str]]:
    """The column names, then the cells of each row.

    Conversations of several turns are also written as JSON in a column `messages`, and tools and
    thoughts in columns of their own, so that they can be imported without loss.
    """
    everything = columns == "all"
    names = ["number", "split"] if everything else []
    names += ["group"] if everything and facts.groups else []
    names += ["system"] if facts.system and facts.simple else []
    names += ["prompt", *([THOUGHT] if facts.thoughts else []), "answer"]
    names += ["rejected"] if facts.pairs else []
    names += [] if facts.simple else ["messages"]
    names += list(TOOL_KEYS) if facts.tools else []
    yield names
    for row in rows():
        messages = row["messages"]
        system, rest = split_off(messages)
        asked = next((m["content"] for m in reversed(rest) if m["role"] == "user"), "")
        cells = {
            "number": str(row["id"]),
            "split": row["split"],
            "group": row.get("group", ""),
            "system": system,
            "prompt": asked,
            THOUGHT: messages[-1].get("reasoning_content", ""),
            "answer": answer_text(messages[-1]),
            "rejected": row.get("rejected", ""),
            "messages": json.dumps(messages, ensure_ascii=False),
            **_tool_cells(row),
        }
        yield [cells[name] for name in names]


def _tool_cells(row: Row) -> dict[str, str]:
    return {
        key: json.dumps(row[key], ensure_ascii=False) if key in row else ""  # type: ignore[literal-required]
        for key in TOOL_KEYS
    }


def table_pieces(rows: Rows, layout: TableLayout) -> Generator[bytes]:
    """CSV or TSV. Raises PlainError if the encoding lacks a character."""
    facts = facts_of(rows, layout.encoding)
    return blocks(_table_texts(table(rows, facts, layout.columns), layout), layout.encoding)


class _Echo:
    def write(self, value: str) -> str:
        return value


def _table_texts(lines: Iterator[list[str]], layout: TableLayout) -> Iterator[str]:
    writer = csv.writer(
        _Echo(),
        delimiter=layout.delimiter,
        lineterminator=layout.line_end,
        quoting=csv.QUOTE_ALL if layout.quote_all else csv.QUOTE_MINIMAL,
    )
    for cells in lines:
        yield writer.writerow(cells if layout.exact else [safe_cell(cell) for cell in cells])


def require_excel(rows: Rows) -> None:
    """Raises PlainError if the rows exceed the limits of an Excel sheet."""
    facts = facts_of(rows)
    if facts.rows > EXCEL_ROWS:
        raise PlainError(
            _("Excel holds at most %(most)s rows. Choose CSV or Parquet instead.")
            % {"most": f"{EXCEL_ROWS:,}"},
            status=409,
        )
    if any(_is_cut_by_excel(cell) for cells in table(rows, facts, "all") for cell in cells):
        raise PlainError(
            _(
                "A cell of Excel holds at most %(most)s characters, and a text or a whole "
                "conversation here is longer. Choose CSV or Parquet instead."
            )
            % {"most": f"{EXCEL_CELL:,}"},
            status=409,
        )


def _is_cut_by_excel(cell: str) -> bool:
    """It counts in UTF-16, in which an emoji is two."""
    return len(cell.encode("utf-16-le", "surrogatepass")) > 2 * EXCEL_CELL


def blocks(texts: Iterator[str], encoding: str) -> Generator[bytes]:
    """Encoded pieces of about BLOCK bytes, with the byte order mark only once."""
    encoder = codecs.getincrementalencoder(encoding)()
    waiting: list[str] = []
    weight = 0
    for text in texts:
        waiting.append(text)
        weight += len(text)
        if weight >= BLOCK:
            yield encoder.encode("".join(waiting))
            waiting, weight = [], 0
    yield encoder.encode("".join(waiting), final=True)

"""Reads the examples of an uploaded file in JSON Lines format, one a line: conversations,
preference pairs, and prompts with their completions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.files.storage import default_storage

from finetune_app.datasets.enough_examples import MIN_EXAMPLES
from finetune_app.datasets.schemas import RowToAdd
from finetune_app.datasets.splits import held_back_split
from finetune_app.fine_tuning_api.models import ApiFile
from finetune_app.imports.cell_values import RowError, parse_json
from finetune_app.imports.column_mapping import content_from_row
from finetune_app.imports.schemas import ColumnMapping, KeyCount, RowContent
from finetune_app.imports.training_pairs import loses_thought
from finetune_app.imports.unread_keys import KeyCounter, name_of, unread

MAX_LINES = 50_000
MAX_LINES_NAMED = 3  # in a notice
MAX_FILE_BYTES = 100 * 1024 * 1024
CHATS = {"style": "messages", "messages": "messages", "rejected": "rejected"}
PREFERENCES = {  # OpenAI's rows for preference training
    "style": "pairs",
    "prompt": "input",
    "answer": "preferred_output",
    "rejected": "non_preferred_output",
}
COMPLETIONS = {"style": "pairs", "prompt": "prompt", "answer": "completion"}  # OpenAI's older rows
MAPPINGS = (CHATS, PREFERENCES, COMPLETIONS)


@dataclass
class FileNotes:
    """What of a file is not read."""

    keys: KeyCounter = field(default_factory=KeyCounter)  # of all its rows
    worse_thoughts: list[int] = field(default_factory=list)  # lines; left out before worse answers


def read_training_rows(file: ApiFile, split: str, notes: FileNotes) -> list[RowToAdd]:
    """All rows, in `split` ("": the dataset chooses); `notes` gets what is not read of them.

    Raises RowError if any line is invalid, or has a key that changes its meaning and is not read.
    """
    rows: list[RowToAdd] = [_row(content, split) for content in _examples(file, notes)]
    if len(rows) < MIN_EXAMPLES:
        raise RowError(f"The file has {len(rows)} examples; at least {MIN_EXAMPLES} are needed.")
    return rows


def read_validation_rows(file: ApiFile, notes: FileNotes) -> list[RowToAdd]:
    """Half of the examples become the validation split, half the test split, so that the evaluation
    has examples that nothing was tuned on. Raises RowError."""
    rows: list[RowToAdd] = [
        _row(content, held_back_split(at)) for at, content in enumerate(_examples(file, notes))
    ]
    if len(rows) < 2:
        raise RowError("The validation file has fewer than two examples.")
    return rows


def _row(content: RowContent, split: str) -> RowToAdd:
    row: RowToAdd = {"messages": content["messages"], "split": str(split)}
    row["rejected"] = content.get("rejected", "")
    if "tools" in content:
        row["tools"] = content["tools"]
    if "parallel_tool_calls" in content:
        row["parallel_tool_calls"] = content["parallel_tool_calls"]
    return row


def unread_notices(file: ApiFile, notes: FileNotes) -> list[str]:
    """A sentence for each key of the file that is not read, and for thoughts that are left out."""
    notices = [_notice(file, key) for key in unread(notes.keys.counts(), *MAPPINGS)]
    if notes.worse_thoughts:
        where = _where(len(notes.worse_thoughts), notes.worse_thoughts[:MAX_LINES_NAMED])
        notices.append(
            f"{file.api_id}: the non-preferred answer begins with a thought in {where}; it is left "
            "out."
        )
    return notices


def _notice(file: ApiFile, key: KeyCount) -> str:
    return (
        f"{file.api_id}: “{name_of(key)}” in {_where(key['rows'], key['lines'])} is not read; the "
        "examples are learned without it."
    )


def _where(rows: int, first: Sequence[int]) -> str:
    lines = ", ".join(map(str, first)) + (", …" if rows > len(first) else "")
    return f"line {lines}" if rows == 1 else f"{rows:,} lines ({lines})"


def _examples(file: ApiFile, notes: FileNotes) -> Iterator[RowContent]:
    with default_storage.open(file.storage_path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if number > MAX_LINES:
                raise RowError(f"The file has more than {MAX_LINES:,} lines.")
            try:
                cells = _cells(line)
                notes.keys.add(number, cells)
                example = _example(cells)
                worse = _mapping_of(cells).get("rejected")
                if worse and example.get("rejected") and loses_thought(cells[worse]):
                    notes.worse_thoughts.append(number)
                yield example
            except (RowError, ValueError, RecursionError) as problem:
                why = str(problem) if isinstance(problem, RowError) else "It is not valid JSON."
                raise RowError(f"Line {number}: {why}") from problem


def _mapping_of(cells: dict[str, Any]) -> ColumnMapping:
    if PREFERENCES["answer"] in cells:
        return PREFERENCES
    return CHATS if CHATS["messages"] in cells or "completion" not in cells else COMPLETIONS


def _cells(line: bytes) -> dict[str, Any]:
    cells = parse_json(line.decode("utf-8-sig"))
    if not isinstance(cells, dict):
        raise RowError("It is not an object with “messages”.")
    return cells


def _example(cells: dict[str, Any]) -> RowContent:
    content = content_from_row(cells, _mapping_of(cells))
    if len(content["messages"]) < 2:
        raise RowError("Nobody asks anything in this conversation.")
    return content

"""Counts the keys of a file that hold something, so that those which are not read can be named.

Pure Python. A key is a column, or stands inside a conversation: beside its messages, in one of
them, or in a part of one. Whether it is read depends on the mapping, which a person may change
after the file was inspected, so every key is counted.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from finetune_app.imports.cell_values import has_content, parsed_cell
from finetune_app.imports.column_mapping import (
    CONVERSATION_PARTS,
    Cells,
    changes_meaning,
    used_columns,
)
from finetune_app.imports.conversation_cells import (
    CONTENT_FIELDS,
    PLAIN_KEYS,
    ROLE_FIELDS,
    conversation_in_cell,
    may_be_conversation,
    read_keys,
)
from finetune_app.imports.schemas import ColumnMapping, KeyCount
from finetune_app.imports.tool_calls import ROW_KEYS

MAX_LINES = 3  # of a key
MAX_INNER_KEYS = 200  # of a file
MAX_KEY_CHARACTERS = 80
NONE: frozenset[str] = frozenset()


class KeyCounter:
    """Counts the keys of rows, one row at a time."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], KeyCount] = {}
        self._inner = 0

    def add(self, line: int, cells: Cells) -> None:
        for column, value in cells.items():
            if has_content(value):
                self._count(line, column, "")
                for key in _conversation_keys(value):
                    self._count(line, column, key)

    def _count(self, line: int, column: str, key: str) -> None:
        found = self._counts.get((column, key))
        if found is None:
            self._inner += bool(key)
            if key and self._inner > MAX_INNER_KEYS:
                return
            found = self._counts[column, key] = {
                "column": column,
                "key": key,
                "rows": 0,
                "lines": [],
            }
        found["rows"] += 1
        if len(found["lines"]) < MAX_LINES:
            found["lines"].append(line)

    def counts(self) -> list[KeyCount]:
        return list(self._counts.values())


def unread(counts: list[KeyCount], *mappings: ColumnMapping) -> list[KeyCount]:
    """Those that none of the mappings reads; keys that change a row's meaning come first."""
    used = set().union(*map(used_columns, mappings))
    conversations = {mapping.get(part) for mapping in mappings for part in CONVERSATION_PARTS}
    found = [
        count
        for count in counts
        if (count["column"] in conversations if count["key"] else count["column"] not in used)
    ]
    return sorted(found, key=lambda count: not changes_meaning(name_of(count)))


def name_of(count: KeyCount) -> str:
    return count["key"] or count["column"]


def _conversation_keys(value: Any) -> AbstractSet[str]:
    """The keys of a conversation that are never read. Empty for a cell that is none."""
    if isinstance(value, str) and not may_be_conversation(value):
        return NONE
    value = parsed_cell(value)
    chat = conversation_in_cell(value)
    if not chat:
        return NONE
    found = {
        key[:MAX_KEY_CHARACTERS]
        for message in chat
        if isinstance(message, Mapping)
        if not _is_plain(message)
        for key in _message_keys(message)
    }
    if isinstance(value, Mapping):
        found |= _filled(value, "messages", *ROW_KEYS)
    return found


def _is_plain(message: Mapping[str, Any]) -> bool:
    """Whether all of it is read. Nearly every message is, so this is a fast path."""
    return message.keys() <= PLAIN_KEYS and isinstance(message.get("content"), str)


def _message_keys(message: Mapping[str, Any]) -> Iterator[str]:
    role = next((name for name in ROLE_FIELDS if name in message), "")
    content = next((name for name in CONTENT_FIELDS if name in message), "")
    yield from _filled(message, role, content, *read_keys(message, role))
    parts = message.get(content)
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, Mapping):
            yield from _filled(part, "type", "text")


def _filled(value: Mapping[str, Any], *read: str) -> set[str]:
    return {
        str(key)[:MAX_KEY_CHARACTERS]
        for key, inner in value.items()
        if key not in read and has_content(inner)
    }

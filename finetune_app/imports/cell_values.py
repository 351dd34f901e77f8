"""The values of cells, and exact text from them. Pure Python.

A cell is the text of the file, or (from JSON) a list or dict whose numbers are `ExactNumber`.
"""

import json
from collections.abc import Mapping
from typing import Any

# First characters of text that may be JSON; "" is empty text.
JSON_STARTS = ("", "[", "{", " ", "\t", "\r", "\n", "\ufeff")
EMPTY_TEXTS = ("", "null", "[]", "{}")
MAX_DEPTH = 40


class RowError(ValueError):
    """This row cannot become an example. The message says why, in plain words."""


class ExactNumber(str):
    """A JSON number, kept exactly as it was written (1.10 stays 1.10)."""


def has_content(value: Any) -> bool:
    """Whether a cell or the value of a key holds something."""
    if isinstance(value, str):
        return value not in EMPTY_TEXTS if len(value) < 5 else True
    return value is not None and value != [] and value != {}


def parsed_cell(value: Any) -> Any:
    """A cell that is the text of a JSON list or object, as its value; None for other text."""
    return json_cell(value, "[{") if isinstance(value, str) else value


def json_cell(value: Any, starts: str) -> Any:
    """The value of a cell that is JSON text beginning with one of `starts`; else None."""
    if not isinstance(value, str) or value[:1] not in JSON_STARTS:
        return None
    if not (start := value.lstrip()[:1]) or start not in starts:
        return None
    try:
        return parse_json(value)
    except (ValueError, RecursionError):
        return None


EXACT_DECODER = json.JSONDecoder(
    parse_int=ExactNumber, parse_float=ExactNumber, parse_constant=ExactNumber
)


def parse_json(text: str) -> Any:
    """json.loads that keeps every number, NaN included, as it was written."""
    return EXACT_DECODER.decode(text)


def cell_text(value: Any) -> str:
    """A cell as text: text unchanged, null as "", the rest as JSON. Raises RowError."""
    if value is None:
        return ""
    return str(value) if isinstance(value, str) else _json_of(value, 0)


def _json_of(value: Any, depth: int) -> str:
    if depth > MAX_DEPTH:
        raise RowError(f"A value is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, ExactNumber):
        return str(value)
    if isinstance(value, Mapping):
        inner = (
            f"{json.dumps(str(k), ensure_ascii=False)}: {_json_of(v, depth + 1)}"
            for k, v in value.items()
        )
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_json_of(v, depth + 1) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)

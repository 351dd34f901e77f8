"""What kind of file is it, and how are its rows read?

A shape says all that reading needs:
    {"format": "table" | "jsonl" | "json", "encoding": "utf-8", "delimiter": ",",
     "has_header": true, "columns": ["question", "answer"]}
"""

import csv
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from finetune_app.datasets.mapping import known_name, parse_json
from worker.channel import UserError
from worker.imports import delimited, jsonfiles
from worker.imports.decoding import encoding_of, open_text
from worker.imports.lines import Bad, Row

SAMPLE = 1 << 20
WHOLE = 50_000_000  # bytes of a JSON object that is read in one piece


def shape_of(path: Path, file_name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Detect the shape; what the person chose in `given` wins."""
    encoding, why = encoding_of(path)
    if given.get("encoding"):
        encoding, why = given["encoding"], "You chose it."
    with open_text(path, encoding) as file:
        sample = file.read(SAMPLE)
    if not sample.strip():
        raise UserError("bad_data", "The file is empty. Choose the one that holds your examples.")
    shape = {"encoding": encoding, "encoding_why": why, "format": _format(sample)}
    if shape["format"] == "table":
        shape |= _table(path, encoding, sample, file_name, given)
    return shape


def _format(sample: str) -> str:
    start = sample.lstrip("\ufeff \t\r\n")
    if start.startswith("["):
        looks = start[1:].lstrip()[:1] in ("{", "]", "[", '"', "") or start.rstrip().endswith("]")
        return "json" if looks else "table"
    if _has_objects(start):
        alone = start.startswith("{") and "\n" not in start.strip()
        return "json" if alone else "jsonl"
    return "json" if start.startswith("{") else "table"


def _has_objects(text: str) -> bool:
    """Whether one of the first lines is a whole JSON object."""
    for line in text.splitlines()[:20]:
        if line.lstrip().startswith("{"):
            try:
                return isinstance(parse_json(line), dict)
            except (ValueError, RecursionError):
                continue
    return False


def _table(
    path: Path, encoding: str, sample: str, file_name: str, given: dict[str, Any]
) -> dict[str, Any]:
    by_name = "\t" if file_name.lower().endswith((".tsv", ".tab")) else ""
    delimiter = given.get("delimiter") or by_name or delimited.delimiter_of(sample)
    first = _first_record(path, encoding, delimiter)
    header = given.get("has_header")
    if header is None:
        header = _is_header(first)
    names = first if header else [f"Column {n}" for n in range(1, len(first) + 1)]
    columns = delimited.header_of(names)
    return {"delimiter": delimiter, "has_header": header, "columns": columns}


def _first_record(path: Path, encoding: str, delimiter: str) -> list[str]:
    with open_text(path, encoding) as file:
        for record in delimited.records(file, delimiter):
            if not isinstance(record, Bad):
                return [cell.lstrip("\ufeff") for cell in record[1]]
    raise UserError(
        "bad_data",
        "No row of this file can be read as a table. Is the encoding right, and is it text?",
    )


def _is_header(cells: list[str]) -> bool:
    if any(known_name(cell) for cell in cells):
        return True
    plain = [cell.strip() for cell in cells]
    short = all(0 < len(cell) <= 30 and cell[-1] not in ".?!" for cell in plain)
    return short and len(set(plain)) == len(plain) and not any(c.isdigit() for c in plain)


def rows_of(path: Path, shape: dict[str, Any]) -> Iterator[Row | Bad]:
    """Every row of the file, in order."""
    csv.field_size_limit(1_000_000)
    with open_text(path, shape["encoding"]) as file:
        if shape["format"] == "table":
            columns = shape["columns"]
            yield from delimited.table_rows(file, shape["delimiter"], shape["has_header"], columns)
        elif shape["format"] == "jsonl":
            yield from jsonfiles.line_rows(file)
        else:
            yield from _json(path, shape["encoding"])


def _json(path: Path, encoding: str) -> Iterator[Row | Bad]:
    with open_text(path, encoding) as file:
        start = file.read(1000).lstrip("\ufeff \t\r\n")
    large = path.stat().st_size > WHOLE
    if start.startswith("{") and not large:
        with open_text(path, encoding) as file:
            found = jsonfiles.object_rows(file.read())
        if found is not None:
            yield from found
            return
    with open_text(path, encoding) as file:
        rows = jsonfiles.list_rows(file)
        first = list(islice(rows, 2))
        if large and start.startswith("{") and len(first) == 1 and isinstance(first[0], Bad):
            raise _too_large()  # nothing need be wrong with it but its size
        yield from chain(first, rows)


def _too_large() -> UserError:
    return UserError(
        "bad_data",
        f"A JSON file larger than {WHOLE // 10**6} MB can only be read when it is a list of rows. "
        "Save this one as JSON lines, or bring it in smaller parts.",
    )

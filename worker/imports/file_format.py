"""What kind of file is it, and how are its rows read?

A shape says all that reading needs. All have
    {"kind": "csv" | "jsonl" | "json" | "xlsx" | "xlsb" | "ods" | "parquet" | "zip",
     "format": "table" | "jsonl" | "json" | "sheet" | "parquet", "columns": [...],
     "encoding": "utf-8" ("" where the file is no text), "encoding_why": "..."}
and further
    a table      {"delimiter": ",", "has_header": true, "starts": 1}
    a sheet      {"sheets": [...], "sheet": "Orders", "has_header": true, "starts": 3}
    in a zip     {"members": [...], "member": "train.csv"}, and the rest is the member's
`given`, what the person chose, has any of encoding, delimiter, has_header, sheet, member.
"""

import csv
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from finetune_app.imports.column_mapping import parse_json
from worker.channel import UserError
from worker.imports import archives, delimited, jsonfiles, sandbox, sheets
from worker.imports.progress import ByteMeter
from worker.imports.rows import FileRow, RejectedRow
from worker.imports.text_encoding import detect_encoding, open_text

SAMPLE = 1 << 20
WHOLE = 50_000_000  # bytes of a JSON object that is read in one piece
TRIED = 20  # files of a zip, until one can be read
OLD = b"\xd0\xcf\x11\xe0"
MARKUP = (".xls", ".xlsx", ".ods", ".html", ".htm", ".xml")
MARKED_UP = re.compile(r"\s*<(\?xml|!doctype html|html|head|body|meta|table|style)\b", re.I)
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


def detect_shape(
    path: Path, file_name: str, given: dict[str, Any], in_zip: bool = False
) -> dict[str, Any]:
    """Detect the shape; what the person chose in `given` wins."""
    with path.open("rb") as file:
        start = file.read(SAMPLE)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        kind = archives.kind_of(path)
        if kind == "zip" and in_zip:
            raise UserError("bad_data", "There is a zip inside the zip. Unpack it first.")
        if kind == "zip":
            return _zip(path, given)
        return {"kind": kind} | sheets.shape(path, kind, given)
    if start.startswith(OLD):
        raise _old(start)
    if start.startswith(b"PAR1"):
        names = [str(name) for name in next(iter(sandbox.read_in_child("schema", path)))]
        return {
            "kind": "parquet",
            "format": "parquet",
            "encoding": "",
            "encoding_why": "",
            "columns": delimited.header_of(names),
        }
    return _text(path, file_name, given)


def iter_rows(
    path: Path, shape: dict[str, Any], meter: ByteMeter | None = None
) -> Iterator[FileRow | RejectedRow]:
    """Every row of the file, in order. `meter` is told how far it is."""
    meter = meter or ByteMeter()
    if shape.get("member"):
        inside = path.with_name("member")
        archives.unpack(path, shape["member"], inside)
        try:
            yield from iter_rows(inside, shape | {"member": ""}, meter)
        finally:
            meter.freeze()
            inside.unlink(missing_ok=True)
    elif shape["format"] == "sheet":
        yield from sheets.rows(path, shape, meter)
    elif shape["format"] == "parquet":
        yield from _parquet(path, shape["columns"], meter)
    else:
        yield from _text_rows(path, shape, meter)


def _zip(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """The shape of the chosen file inside, or of the likeliest one that can be read."""
    members = archives.members_of(path)
    inside = path.with_name("member")
    first: UserError | None = None
    for member in [given["member"]] if given.get("member") else members[:TRIED]:
        archives.unpack(path, member, inside)
        try:
            shape = detect_shape(inside, member, given, in_zip=True)
        except UserError as error:
            first = first or error
            continue
        finally:
            inside.unlink(missing_ok=True)
        return shape | {"kind": "zip", "members": members, "member": member}
    assert first
    raise first


def _old(start: bytes) -> UserError:
    if ENCRYPTED in start:
        return UserError("bad_data", "The workbook has a password. Save it without one.")
    return UserError(
        "bad_data",
        "This is an old Excel or Word file, whatever its name says. "
        "In Excel choose “Save as”, then Excel workbook (.xlsx) or CSV UTF-8.",
    )


def _parquet(path: Path, columns: list[str], meter: ByteMeter) -> Iterator[FileRow | RejectedRow]:
    size, done = path.stat().st_size, 0
    meter.watch(lambda: done, size)
    for told in sandbox.read_in_child("parquet", path):
        if isinstance(told, dict):
            done = size * int(told["done"]) // max(int(told["total"]), 1)
            continue
        for line, cells in told:
            yield jsonfiles.as_row(int(line), dict(zip(columns, cells, strict=True)), "")


# ---- Text ----


def _text(path: Path, file_name: str, given: dict[str, Any]) -> dict[str, Any]:
    encoding, why = detect_encoding(path, given.get("encoding", ""))
    with open_text(path, encoding) as file:
        sample = file.read(SAMPLE)
    if not sample.strip():
        raise UserError("bad_data", "The file is empty. Choose the one that holds your examples.")
    _refuse_markup(sample, file_name)
    form = _format(sample)
    shape = {
        "encoding": encoding,
        "encoding_why": why,
        "format": form,
        "kind": "csv" if form == "table" else form,
    }
    if form == "table":
        shape |= _table(path, encoding, sample, file_name, given)
    return shape


def _refuse_markup(sample: str, file_name: str) -> None:
    """Many programs export a web page and call it a workbook."""
    if file_name.lower().endswith(MARKUP) and MARKED_UP.match(sample):
        raise UserError(
            "bad_data",
            "This is a web page or XML, whatever its name says. Open it in a spreadsheet program "
            "and save it as Excel workbook (.xlsx) or CSV UTF-8.",
        )


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
    for line in re.split(r"\r\n|\r|\n", text, maxsplit=20)[:20]:
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
    records = _first_records(path, encoding, delimiter)
    starts, header = delimited.start_of(records, given.get("has_header"))
    first = next(cells for line, cells in records if line == starts)
    names = first if header else [f"Column {n}" for n in range(1, len(first) + 1)]
    columns = delimited.header_of(names)
    return {"delimiter": delimiter, "has_header": header, "starts": starts, "columns": columns}


def _first_records(path: Path, encoding: str, delimiter: str) -> list[tuple[int, list[str]]]:
    with open_text(path, encoding) as file:
        good = (
            one for one in delimited.records(file, delimiter) if not isinstance(one, RejectedRow)
        )
        first = list(islice(good, delimited.TITLES))
    if first:
        return [(line, [cell.lstrip("\ufeff") for cell in cells]) for line, cells in first]
    raise UserError(
        "bad_data",
        "No row of this file can be read as a table. Is the encoding right, and is it text?",
    )


def _text_rows(
    path: Path, shape: dict[str, Any], meter: ByteMeter
) -> Iterator[FileRow | RejectedRow]:
    csv.field_size_limit(1_000_000)
    with open_text(path, shape["encoding"]) as file:
        _watch(file, path, meter)
        if shape["format"] == "table":
            yield from delimited.delimited_rows(
                file,
                shape["delimiter"],
                shape["has_header"],
                shape["columns"],
                shape.get("starts", 0),
            )
        elif shape["format"] == "jsonl":
            yield from jsonfiles.json_line_rows(file)
        else:
            yield from _json(path, shape["encoding"], meter)
        meter.freeze()


def _watch(file: TextIO, path: Path, meter: ByteMeter) -> None:
    meter.watch(lambda: file.buffer.tell(), path.stat().st_size)


def _json(path: Path, encoding: str, meter: ByteMeter) -> Iterator[FileRow | RejectedRow]:
    with open_text(path, encoding) as file:
        start = file.read(1000).lstrip("\ufeff \t\r\n")
    large = path.stat().st_size > WHOLE
    if start.startswith("{") and not large:
        with open_text(path, encoding) as file:
            found = jsonfiles.json_object_rows(file.read())
        if found is not None:
            yield from found
            return
    with open_text(path, encoding) as file:
        _watch(file, path, meter)
        rows = jsonfiles.json_list_rows(file)
        first = list(islice(rows, 2))
        if (
            large
            and start.startswith("{")
            and len(first) == 1
            and isinstance(first[0], RejectedRow)
        ):
            raise _too_large()  # nothing need be wrong with it but its size
        yield from chain(first, rows)
        meter.freeze()


def _too_large() -> UserError:
    return UserError(
        "bad_data",
        f"A JSON file larger than {WHOLE // 10**6} MB can only be read when it is a list of rows. "
        "Save this one as JSON lines, or bring it in smaller parts.",
    )

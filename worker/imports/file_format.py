"""Detects the format of a file and chooses the reader for its rows."""

import re
from collections.abc import Iterator
from pathlib import Path

from finetune_app.imports.cell_values import parse_json
from finetune_app.imports.schemas import FileShape, ReadOptions
from worker.channel import UserError
from worker.imports import archives
from worker.imports.delimited import table_rows, table_shape
from worker.imports.json_rows import json_line_rows, json_rows
from worker.imports.parquet import parquet_rows, parquet_shape
from worker.imports.progress import ByteMeter
from worker.imports.rows import AnyRow
from worker.imports.text_encoding import detect_encoding, open_text
from worker.imports.workbook import sheet_rows, sheet_shape

SAMPLE = 1 << 20  # bytes, and then characters, that the format is detected from
MAX_MEMBERS_TRIED = 20  # files of a zip, until one can be read
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
OLD_OFFICE_START = b"\xd0\xcf\x11\xe0"
ENCRYPTED_PART = "EncryptedPackage".encode("utf-16-le")
MARKUP_ENDINGS = (".xls", ".xlsx", ".ods", ".html", ".htm", ".xml")
MARKUP = re.compile(r"\s*<(\?xml|!doctype html|html|head|body|meta|table|style)\b", re.I)


def detect_shape(
    path: Path, file_name: str, options: ReadOptions, in_zip: bool = False
) -> FileShape:
    """The shape of the file, by its content. `options` take precedence over detection.

    Raises UserError for a file that cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(SAMPLE)
    if start.startswith(ZIP_STARTS):
        kind = archives.kind_of(path)
        if kind == "zip" and in_zip:
            raise UserError("bad_data", "There is a zip inside the zip. Unpack it first.")
        return _zip_shape(path, options) if kind == "zip" else sheet_shape(path, kind, options)
    if start.startswith(OLD_OFFICE_START):
        raise _old_office_file(start)
    if start.startswith(b"PAR1"):
        return parquet_shape(path)
    return _text_shape(path, file_name, options)


def iter_rows(path: Path, shape: FileShape, meter: ByteMeter | None = None) -> Iterator[AnyRow]:
    """Every row of the file, in order. `meter` gets the number of bytes read."""
    meter = meter or ByteMeter()
    if shape.get("member"):
        yield from _member_rows(path, shape, meter)
    elif shape["format"] == "sheet":
        yield from sheet_rows(path, shape, meter)
    elif shape["format"] == "parquet":
        yield from parquet_rows(path, shape, meter)
    else:
        yield from _text_rows(path, shape, meter)


# ---- A zip ----


def _zip_shape(path: Path, options: ReadOptions) -> FileShape:
    """The shape of the chosen member, else of the likeliest one that can be read."""
    members = archives.members_of(path)
    unpacked = path.with_name("member")
    first_error: UserError | None = None
    chosen = options.get("member")
    for member in [chosen] if chosen else members[:MAX_MEMBERS_TRIED]:
        archives.unpack(path, member, unpacked)
        try:
            shape = detect_shape(unpacked, member, options, in_zip=True)
        except UserError as error:
            first_error = first_error or error
            continue
        finally:
            unpacked.unlink(missing_ok=True)
        return {**shape, "kind": "zip", "members": members, "member": member}
    assert first_error
    raise first_error


def _member_rows(path: Path, shape: FileShape, meter: ByteMeter) -> Iterator[AnyRow]:
    unpacked = path.with_name("member")
    archives.unpack(path, shape["member"], unpacked)
    try:
        yield from iter_rows(unpacked, {**shape, "member": ""}, meter)
    finally:
        meter.freeze()
        unpacked.unlink(missing_ok=True)


# ---- Text ----


def _text_shape(path: Path, file_name: str, options: ReadOptions) -> FileShape:
    encoding, why = detect_encoding(path, options.get("encoding", ""))
    with open_text(path, encoding) as file:
        sample = file.read(SAMPLE)
    if not sample.strip():
        raise UserError("bad_data", "The file is empty. Choose the one that holds your examples.")
    _refuse_markup(sample, file_name)
    text_format = _text_format(sample)
    shape: FileShape = {
        "kind": text_format,
        "format": text_format,
        "encoding": encoding,
        "encoding_why": why,
    }
    if text_format == "table":
        return table_shape(path, shape, sample, file_name, options)
    return shape


def _text_rows(path: Path, shape: FileShape, meter: ByteMeter) -> Iterator[AnyRow]:
    if shape["format"] == "json":
        yield from json_rows(path, shape["encoding"], meter)
        return
    with open_text(path, shape["encoding"]) as file:
        meter.watch(file.buffer.tell, path.stat().st_size)
        if shape["format"] == "table":
            yield from table_rows(file, shape)
        else:
            yield from json_line_rows(file)
        meter.freeze()


def _text_format(sample: str) -> str:
    """table, jsonl or json"""
    start = sample.lstrip("\ufeff \t\r\n")
    if start.startswith("["):
        is_list = start[1:].lstrip()[:1] in ("{", "]", "[", '"', "") or start.rstrip().endswith("]")
        return "json" if is_list else "table"
    if _has_object_line(start):
        alone = start.startswith("{") and "\n" not in start.strip()
        return "json" if alone else "jsonl"
    return "json" if start.startswith("{") else "table"


def _has_object_line(text: str) -> bool:
    """Whether one of the first 20 lines is a whole JSON object."""
    for line in re.split(r"\r\n|\r|\n", text, maxsplit=20)[:20]:
        if line.lstrip().startswith("{"):
            try:
                return isinstance(parse_json(line), dict)
            except (ValueError, RecursionError):
                continue
    return False


# ---- What is refused ----


def _refuse_markup(sample: str, file_name: str) -> None:
    """Many programs export a web page and call it a workbook."""
    if file_name.lower().endswith(MARKUP_ENDINGS) and MARKUP.match(sample):
        raise UserError(
            "bad_data",
            "This is a web page or XML, whatever its name says. Open it in a spreadsheet program "
            "and save it as Excel workbook (.xlsx) or CSV UTF-8.",
        )


def _old_office_file(start: bytes) -> UserError:
    if ENCRYPTED_PART in start:
        return UserError("bad_data", "The workbook has a password. Save it without one.")
    return UserError(
        "bad_data",
        "This is an old Excel or Word file, whatever its name says. "
        "In Excel choose “Save as”, then Excel workbook (.xlsx) or CSV UTF-8.",
    )

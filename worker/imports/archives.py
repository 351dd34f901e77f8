"""Checks zip files, and workbooks, which are zip files too, before anything is unpacked.

No file is ever written under a name from inside the archive.
"""

import re
import stat
import zipfile
from pathlib import Path, PurePosixPath

from worker.channel import UserError
from worker.imports.limits import (
    ALWAYS_ALLOWED_BYTES,
    MAX_SHEET_CELLS,
    MAX_UNPACK_RATIO,
    MAX_UNPACKED_BYTES,
    MAX_WORKBOOK_BYTES,
    MAX_ZIP_MEMBERS,
)

BLOCK_BYTES = 1 << 20
READABLE_ENDINGS = (
    ".jsonl",
    ".ndjson",
    ".json",
    ".csv",
    ".tsv",
    ".tab",
    ".txt",
    ".xlsx",
    ".xlsm",
    ".xlsb",
    ".ods",
    ".parquet",
)
IGNORED_NAMES = ("__macosx", ".ds_store", "thumbs.db", "desktop.ini")
WINDOWS_DRIVE = re.compile(r"^[A-Za-z]:")
CELL_REFERENCE = re.compile(rb'<(?:\w+:)?c [^<>]*?r="([A-Z]{1,3})([0-9]{1,7})"')
KIND_BY_MEMBER = {
    "xl/workbook.xml": "xlsx",
    "xl/workbook.bin": "xlsb",
    "word/document.xml": "docx",
    "ppt/presentation.xml": "pptx",
}
ODS_MIME_TYPE = b"application/vnd.oasis.opendocument.spreadsheet"


def kind_of(path: Path) -> str:
    """zip, xlsx, xlsb or ods. Raises UserError for an archive that is damaged or something else."""
    with _open(path) as archive:
        names = set(archive.namelist())
        kind = next((kind for name, kind in KIND_BY_MEMBER.items() if name in names), "")
        if not kind and "mimetype" in names and archive.getinfo("mimetype").file_size < 200:
            kind = "ods" if _read_start(archive, "mimetype").startswith(ODS_MIME_TYPE) else ""
    if kind in ("docx", "pptx"):
        raise UserError(
            "bad_data",
            "This is a Word or PowerPoint document. Examples come as a table or as JSON lines; "
            "documents to search in belong under “Documents”.",
        )
    return kind or "zip"


# ---- A zip of files ----


def members_of(path: Path) -> list[str]:
    """Names of the files inside that may be readable, the largest first. Raises UserError."""
    with _open(path) as archive:
        infos = _infos(archive)
        found = [info for info in infos if not info.is_dir() and not _is_ignored(info.filename)]
        for info in found:
            _refuse_hostile_member(info)
    readable = [i for i in found if i.filename.lower().endswith(READABLE_ENDINGS)]
    if not readable:
        nested = any(i.filename.lower().endswith(".zip") for i in found)
        more = " Unpack the zip inside it first." if nested else ""
        raise UserError(
            "bad_data",
            "The zip holds no file that we can read: no CSV, TSV, Excel, OpenDocument, JSON, JSON "
            f"lines or Parquet.{more}",
        )
    readable.sort(key=lambda i: -i.file_size)
    return [i.filename for i in readable]


def unpack(path: Path, member: str, into: Path) -> None:
    """Write one member to the path `into`. The size in its header is not trusted."""
    with _open(path) as archive:
        try:
            info = archive.getinfo(member)
        except KeyError:
            raise UserError("bad_data", f"There is no “{member}” in the zip.") from None
        _refuse_hostile_member(info)
        written = 0
        try:
            with archive.open(info) as source, into.open("wb") as target:
                while block := source.read(BLOCK_BYTES):
                    written += len(block)
                    if written > MAX_UNPACKED_BYTES:
                        raise _too_large(member)
                    target.write(block)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError) as error:
            into.unlink(missing_ok=True)
            if getattr(error, "errno", None):
                raise
            raise _damaged() from error
        except Exception:
            into.unlink(missing_ok=True)
            raise


def _refuse_hostile_member(info: zipfile.ZipInfo) -> None:
    name = info.filename
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or WINDOWS_DRIVE.match(name) or ".." in parts:
        raise UserError(
            "bad_data",
            "The zip holds a file that would be written outside its folder. Ordinary programs make "
            "no such zip, so we opened none of it. Pack the files again.",
        )
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UserError(
            "bad_data",
            "The zip holds a link to another file instead of the file. Pack the file itself.",
        )
    if info.flag_bits & 0x1:
        raise UserError("bad_data", "The zip has a password. Pack the files without one.")
    if info.file_size > MAX_UNPACKED_BYTES:
        raise _too_large(name)
    if info.file_size > ALWAYS_ALLOWED_BYTES and info.file_size > MAX_UNPACK_RATIO * max(
        info.compress_size, 1
    ):
        raise UserError(
            "bad_data",
            f"A file in the zip grows to more than {MAX_UNPACK_RATIO} times its size when "
            "unpacked, as only files do that are made to fill a disk. "
            "Upload the file itself instead.",
        )


def _is_ignored(name: str) -> bool:
    parts = name.lower().split("/")
    return any(part in IGNORED_NAMES for part in parts) or parts[-1].startswith(("._", "~$"))


# ---- A workbook ----


def refuse_hostile_workbook(path: Path) -> None:
    """Check sizes, passwords and XML entities before anything parses it. Raises UserError."""
    with _open(path) as archive:
        infos = _infos(archive)
        for info in infos:
            _refuse_hostile_member(info)
        if sum(info.file_size for info in infos) > MAX_WORKBOOK_BYTES:
            raise UserError(
                "bad_data",
                f"The workbook holds more than {MAX_WORKBOOK_BYTES // 10**6} MB, and a workbook "
                "has to be read whole. Save the sheet as CSV; that may be of any size.",
            )
        for info in infos:
            is_xml = info.filename.endswith((".xml", ".rels"))
            if is_xml and b"<!DOCTYPE" in _read_start(archive, info.filename):
                raise UserError(
                    "bad_data",
                    "The workbook defines entities of its own, which no spreadsheet program does. "
                    "Open it in one and save it again.",
                )


def refuse_huge_sheets(path: Path) -> None:
    """Limit the area of each sheet (xlsx): one cell far out makes an area of billions of cells."""
    with _open(path) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                _refuse_huge_sheet(archive, name)


def _refuse_huge_sheet(archive: zipfile.ZipFile, name: str) -> None:
    columns: set[bytes] = set()
    rows, rest = 0, b""
    with archive.open(name) as file:
        while block := file.read(BLOCK_BYTES):
            found = CELL_REFERENCE.findall(rest + block)
            if found:
                columns.update(column for column, _row in found)
                rows = max(rows, *(int(row) for _column, row in found))
            rest = (rest + block)[-300:]
    widest = max((_column_number(column) for column in columns), default=0)
    if rows * widest > MAX_SHEET_CELLS:
        raise UserError(
            "bad_data",
            f"A sheet reaches to row {rows:,} and column {widest:,}, which is more than "
            f"{MAX_SHEET_CELLS:,} cells. Delete what stands far out, or save it as CSV.",
        )


def _column_number(column: bytes) -> int:
    number = 0
    for letter in column:
        number = number * 26 + letter - 64
    return number


# ---- Both ----


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _damaged() from error


def _infos(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_ZIP_MEMBERS:
        raise UserError(
            "bad_data",
            f"The zip holds {len(infos):,} files; the most is {MAX_ZIP_MEMBERS:,}. "
            "Pack fewer, or put the examples into one file.",
        )
    return infos


def _read_start(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        with archive.open(name) as file:
            return file.read(4_000)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError) as error:
        raise _damaged() from error


def _damaged() -> UserError:
    return UserError(
        "bad_data",
        "The file is cut off or damaged: it begins like a zip or a workbook and cannot be opened. "
        "Upload it again, or save it anew.",
    )


def _too_large(name: str) -> UserError:
    most = MAX_UNPACKED_BYTES // 10**9
    return UserError(
        "bad_data",
        f"“{name[:80]}” is larger than {most} GB when unpacked, the most we read. "
        "Split it into smaller files.",
    )

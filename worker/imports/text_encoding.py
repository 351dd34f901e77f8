"""Detects the encoding of a text file, and refuses what is not text."""

import codecs
from pathlib import Path
from typing import TextIO

import chardet

from finetune_app.core.text_formats import canonical_encoding
from worker.channel import UserError

BLOCK_BYTES = 1 << 20
SAME_CONFIDENCE = 0.005  # difference between guesses that count as equally good
BROKEN_BYTE_MARK = "\udc80"  # replaces invalid bytes; no real text has it
CONTROLS = bytes({*range(1, 9), *range(14, 27), *range(28, 32)})  # not in text; ESC may be
MAX_CONTROL_SHARE = 0.02  # of the bytes of a text
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NOT_TEXT = (
    (b"PK\x03\x04", "a workbook or a zip file", "Save it as CSV."),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "Save it as CSV."),
    (b"PAR1", "a Parquet file", "Save it as CSV."),
    (b"PARE", "a Parquet file with a password", "Save it without one."),
    (b"%PDF", "a PDF", "Examples come as a table or as JSON lines."),
    (b"\x1f\x8b", "a compressed file", "Unpack it first, then choose the file inside."),
    (b"BZh", "a compressed file", "Unpack it first, then choose the file inside."),
    (b"7z\xbc\xaf", "a compressed file", "Unpack it first, then choose the file inside."),
    (b"SQLite format 3", "a database", "Export the table as CSV first."),
    (b"\x89PNG", "a picture", "Examples come as a table or as JSON lines."),
    (b"\xff\xd8\xff", "a picture", "Examples come as a table or as JSON lines."),
    (b"GIF8", "a picture", "Examples come as a table or as JSON lines."),
    (b"\x7fELF", "a program", "Examples come as a table or as JSON lines."),
    (b"MZ\x90\x00", "a program", "Examples come as a table or as JSON lines."),
)


def _mark_broken(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return BROKEN_BYTE_MARK, error.end


codecs.register_error("mark_broken", _mark_broken)


def open_text(path: Path, encoding: str) -> TextIO:
    """Open without changing line ends. Broken bytes become a mark that `LONE_SURROGATE` finds.

    Raises UserError for an encoding that is not known.
    """
    try:
        return path.open(encoding=encoding, errors="mark_broken", newline="")
    except LookupError as error:
        raise UserError("bad_data", f"We do not know the encoding “{encoding}”.") from error


def refuse_binary_formats(start: bytes) -> None:
    for magic, what, advice in NOT_TEXT:
        if start.startswith(magic):
            raise UserError("not_text", f"This is {what}, whatever its name says. {advice}")


def detect_encoding(path: Path, chosen: str = "") -> tuple[str, str]:
    """(encoding, reason for the page). UTF-8 is verified over the whole file; other encodings are
    guessed from its beginning, unless one was `chosen`.

    Raises UserError for a file that is not text.
    """
    with path.open("rb") as file:
        start = file.read(BLOCK_BYTES)
    if not start.strip(b" \t\r\n\x00"):
        raise UserError("not_text", "The file is empty. Choose the one that holds your examples.")
    refuse_binary_formats(start)
    if chosen:
        return chosen, "You chose it."
    for bom, name in BOMS:
        if start.startswith(bom):
            return name, "The file says so itself."
    wide = _utf16_without_bom(start)
    if wide:
        return wide, "Every second byte is zero, as in files of some Windows programs."
    if len(start) - len(start.translate(None, CONTROLS)) > MAX_CONTROL_SHARE * len(start):
        raise UserError(
            "bad_data",
            "This does not look like text: a program or a picture, perhaps. If it is text all the "
            "same, choose its encoding under “Read the file another way”.",
        )
    if _is_utf8(path):
        return "utf-8", "Every character of the file fits."
    return _guess_encoding(start)


def _utf16_without_bom(start: bytes) -> str:
    even, odd = start[0::2], start[1::2]
    if len(start) > 8 and odd.count(0) > 0.4 * len(odd) and even.count(0) < 0.1 * len(even):
        return "utf-16-le"
    if len(start) > 8 and even.count(0) > 0.4 * len(even) and odd.count(0) < 0.1 * len(odd):
        return "utf-16-be"
    return ""


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    with path.open("rb") as file:
        try:
            for block in iter(lambda: file.read(BLOCK_BYTES), b""):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _guess_encoding(start: bytes) -> tuple[str, str]:
    if _mostly_utf8(start):
        why = "Nearly all of it is UTF-8; rows with broken characters are listed."
        return "utf-8", why
    why = "We guessed it from its accents; check the samples."
    found = [
        (canonical_encoding(one["encoding"] or ""), one["confidence"])
        for one in chardet.detect_all(start[:200_000])
    ]
    found = [
        (name, confidence) for name, confidence in found if name not in ("", "utf-8", "utf-8-sig")
    ]
    best = max((confidence for _name, confidence in found), default=0.0)
    likely = [name for name, confidence in found if confidence > best - SAME_CONFIDENCE]
    if not likely or set(likely) & {"cp1252", "iso-8859-1", "iso-8859-15"}:
        return "cp1252", why  # a superset of Latin-1 in practice: curly quotes, the euro sign
    return likely[0], why


def _mostly_utf8(start: bytes) -> bool:
    """Whether there are only a few broken bytes among valid UTF-8 sequences."""
    text = start.decode("utf-8", "replace")
    broken = text.count("�")
    real = sum(1 for character in text if ord(character) > 127) - broken
    return real > 5 * broken

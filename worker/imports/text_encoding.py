"""From bytes to text: which encoding, and is it text at all?"""

import codecs
import re
from pathlib import Path
from typing import TextIO

import chardet

from finetune_app.core.text_formats import canonical_encoding
from worker.channel import UserError

BLOCK = 1 << 20
NEARLY = 0.005  # two guesses as sure as each other
BROKEN_BYTE_MARK = "\udc80"  # stands for bytes that the encoding does not know; no real text has it
CONTROLS = bytes({*range(1, 9), *range(14, 27), *range(28, 32)})  # what no text has; ESC may be
MOSTLY = 0.02  # of a file's bytes, from which it is no text
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
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
    """Line ends are left as they are; broken bytes become a mark that `LONE_SURROGATE` finds."""
    try:
        return path.open(encoding=encoding, errors="mark_broken", newline="")
    except LookupError as error:
        raise UserError("bad_data", f"We do not know the encoding “{encoding}”.") from error


def printable(text: str) -> str:
    """Text that can be stored and shown, whatever was broken in it."""
    return LONE_SURROGATE.sub("�", text).replace("\x00", "␀")


def refuse_what_is_not_text(start: bytes) -> None:
    for magic, what, then in NOT_TEXT:
        if start.startswith(magic):
            raise UserError("not_text", f"This is {what}, whatever its name says. {then}")


def detect_encoding(path: Path, chosen: str = "") -> tuple[str, str]:
    """(encoding, why). UTF-8 is proved over the whole file; the rest is a good guess, if nothing
    was `chosen`."""
    with path.open("rb") as file:
        start = file.read(BLOCK)
    if not start.strip(b" \t\r\n\x00"):
        raise UserError("not_text", "The file is empty. Choose the one that holds your examples.")
    refuse_what_is_not_text(start)
    if chosen:
        return chosen, "You chose it."
    for bom, name in BOMS:
        if start.startswith(bom):
            return name, "The file says so itself."
    wide = _wide_without_mark(start)
    if wide:
        return wide, "Every second byte is zero, as in files of some Windows programs."
    if len(start) - len(start.translate(None, CONTROLS)) > MOSTLY * len(start):
        raise UserError(
            "bad_data",
            "This does not look like text: a program or a picture, perhaps. If it is text all the "
            "same, choose its encoding under “Read the file another way”.",
        )
    if _is_utf8(path):
        return "utf-8", "Every character of the file fits."
    return _guessed(start)


def _wide_without_mark(start: bytes) -> str:
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
            for block in iter(lambda: file.read(BLOCK), b""):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _guessed(start: bytes) -> tuple[str, str]:
    if _mostly_utf8(start):
        why = "Nearly all of it is UTF-8; rows with broken characters are listed."
        return "utf-8", why
    why = "We guessed it from its accents; check the samples."
    found = [
        (canonical_encoding(one["encoding"] or ""), one["confidence"])
        for one in chardet.detect_all(start[:200_000])
    ]
    found = [(name, sure) for name, sure in found if name not in ("", "utf-8", "utf-8-sig")]
    best = max((sure for _name, sure in found), default=0.0)
    likely = [name for name, sure in found if sure > best - NEARLY]
    if not likely or set(likely) & {"cp1252", "iso-8859-1", "iso-8859-15"}:
        return "cp1252", why  # a superset of Latin-1 in practice: curly quotes, the euro sign
    return likely[0], why


def _mostly_utf8(start: bytes) -> bool:
    """A few broken bytes among real UTF-8 sequences: not another encoding."""
    text = start.decode("utf-8", "replace")
    broken = text.count("�")
    real = sum(1 for character in text if ord(character) > 127) - broken
    return real > 5 * broken

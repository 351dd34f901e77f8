"""Import one file of a zip; nothing is extracted under a name from the archive."""

import io
import struct
import zipfile

import pytest

from tests.worker.imports.files import GOOD, parquet, xlsx, zip_with_link, zipped
from worker.channel import UserError
from worker.imports.inspect import inspect_file

CSV = b"prompt,answer\nHello,Good morning\n"
LINE = '{"prompt": "Bye", "answer": "Take care"}\n'


def prompts(kept: list[dict]) -> list[str]:
    return [row["messages"][0]["content"] for row in kept]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV),
        ("deep/er/a.jsonl", LINE),
        ("a.parquet", parquet({"prompt": ["Hello"], "answer": ["Hi"]})),
        ("a.xlsx", xlsx({"A": GOOD})),
        ("a.json", f"[{LINE}]"),
    ],
)
def test_every_format_is_read_from_a_zip(import_file, tmp_path, name, content):
    kept, _result = import_file(zipped({name: content, "__MACOSX/._a.csv": b"x", "notes.md": "x"}))
    assert prompts(kept)
    assert not (tmp_path / "member").exists()


def test_the_largest_file_is_the_default_and_another_can_be_chosen(import_file, stored, channel):
    content = zipped({"small.jsonl": LINE, "big.csv": CSV * 2, "readme.pdf": b"%PDF"})
    shape = inspect_file(stored(content), "files.zip", {}, channel)["shape"]
    assert (shape["kind"], shape["format"]) == ("zip", "table")
    assert shape["members"] == ["big.csv", "small.jsonl"]
    assert shape["member"] == "big.csv"
    kept, _result = import_file(content, member="small.jsonl")
    assert prompts(kept) == ["Bye"]


def test_an_unreadable_file_is_skipped(import_file):
    content = zipped({"scan.csv": b"%PDF" + bytes(500), "rows.csv": CSV})
    assert prompts(import_file(content)[0]) == ["Hello"]


def encrypted() -> bytes:
    """With the flag of encryption in both headers."""
    content = bytearray(zipped({"rows.csv": CSV}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        offset = content.index(mark) + at
        content[offset] |= 1
    return bytes(content)


def with_false_size() -> bytes:
    """The directory says 10 bytes; the data expand to 50 million."""
    content = bytearray(zipped({"rows.csv": b"a" * 50_000_000}))
    offset = content.index(b"PK\x01\x02")
    content[offset + 24 : offset + 28] = struct.pack("<I", 10)
    return bytes(content)


def with_many_files() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for n in range(1_001):
            archive.writestr(f"{n}.csv", b"")
    return buffer.getvalue()


HOSTILE = {
    "slip": (lambda: zipped({"../../etc/cron.d/x.csv": CSV}), "outside its folder"),
    "slip by backslash": (lambda: zipped({"..\\x.csv": CSV}), "outside its folder"),
    "absolute": (lambda: zipped({"/etc/x.csv": CSV}), "outside its folder"),
    "a drive": (lambda: zipped({"C:\\x.csv": CSV}), "outside its folder"),
    "slip beside a good file": (lambda: zipped({"a.csv": CSV, "../b.txt": b"x"}), "outside"),
    "a link": (lambda: zip_with_link("/etc/passwd"), "a link to another file"),
    "a bomb": (lambda: zipped({"rows.csv": b"a" * 50_000_000}), "100 times its size"),
    "a bomb that lies": (with_false_size, "damaged"),
    "a password": (encrypted, "password"),
    "many files": (with_many_files, "1,001 files"),
    "nothing to read": (lambda: zipped({"a.png": b"x", "b.docx": b"x"}), "no file that we can"),
    "a zip inside": (lambda: zipped({"a.zip": zipped({"a.csv": CSV})}), "zip inside it"),
    "a zip inside under another name": (
        lambda: zipped({"a.csv": zipped({"b.csv": CSV})}),
        "zip inside the zip",
    ),
    "no member": (lambda: zipped({}), "no file that we can"),
    "cut off": (lambda: zipped({"rows.csv": CSV})[:-30], "cut off or damaged"),
    "broken data": (
        lambda: zipped({"rows.csv": CSV * 500}).replace(b"rows.csv", b"rows.csv\xff\xff", 1),
        "damaged",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_zip_is_rejected_with_a_reason(import_file, tmp_path, case):
    make, message = HOSTILE[case]
    with pytest.raises(UserError) as error:
        import_file(make(), "files.zip")
    assert message in error.value.message
    assert {path.name for path in tmp_path.iterdir()} <= {"upload"}


def test_a_missing_member_is_reported(import_file):
    with pytest.raises(UserError, match=r"no “other\.csv”"):
        import_file(zipped({"rows.csv": CSV}), member="other.csv")

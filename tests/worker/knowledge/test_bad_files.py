"""What cannot be read is said of that document, plainly; the others go on."""

import random
import re

import pytest

from tests.worker.knowledge import files
from worker.knowledge.document_text import Unreadable
from worker.knowledge.readers import reader_process
from worker.knowledge.readers.reader_process import Reader

GOOD_PDF = files.pdf([[(11, "A page.")]])
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE w [<!ENTITY a "haha">'
    + "".join(
        f'<!ENTITY {after} "{f"&{before};" * 10}">'
        for before, after in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + ']><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
    "<w:body><w:p><w:r><w:t>&i;</w:t></w:r></w:p></w:body></w:document>"
)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.txt", b"", "is empty"),
        ("blank.md", b" \n\n \n", "is empty"),
        ("locked.pdf", files.locked_pdf(GOOD_PDF), "has a password"),
        ("cut.pdf", GOOD_PDF[:300], "damaged"),
        ("scan.pdf", files.pdf([[], []]), "it was scanned"),
        ("page.pdf", b"<!doctype html><html><body>Please sign in", "Its name says a PDF"),
        ("letter.docx", b"only text", "Its name says a Word document"),
        ("old.doc", b"\xd0\xcf\x11\xe0" + b"\x00" * 600, "old Office file"),
        ("cut.docx", files.word()[:700], "damaged"),
        ("broken.docx", files.word_of("<w:document"), "damaged"),
        ("laughs.docx", files.word_of(LAUGHS), "damaged|no text"),
        ("bomb.docx", lambda: files.word_of(b" " * 300_000_000), "unpacks to far more"),
        (
            "many.docx",
            files.zipped({"word/document.xml": "x"} | {f"m{n}": "" for n in range(6000)}),
            "unpacks to far more",
        ),
        ("sheet.xlsx", files.zipped({"xl/workbook.xml": "x"}), "an Excel workbook"),
        ("slides.pptx", files.zipped({"ppt/presentation.xml": "x"}), "a PowerPoint file"),
        ("notes.zip", files.zipped({"notes.txt": "hello"}), "a zip file"),
        ("photo.txt", b"\x89PNG\r\n\x1a\n" + b"\x00" * 100, "a picture"),
        ("letter.rtf", b"{\\rtf1 hello}", "RTF"),
        ("noise.txt", random.Random(7).randbytes(5000).replace(b"%PDF", b""), "not text"),
        ("marks.html", b"<html><body><script>only()</script></body></html>", "no text"),
    ],
)
def test_a_bad_document_is_told_apart(shelf, name, content, said):
    made = content() if callable(content) else content
    assert re.search(said, shelf.problem(name, made))


def test_markup_nested_without_end_does_no_harm(shelf):
    deep = "<div>" * 200_000 + "At the bottom the answer is 42." + "</div>" * 200_000
    assert shelf.problem("deep.html", f"<html><body>{deep}") == ""


def test_a_document_that_eats_the_memory_ends_its_reader_only(tmp_path, monkeypatch):
    """The next document is read by a new one."""
    eaten = tmp_path / "eater"
    eaten.write_bytes(files.word_of(b"<a>" + random.Random(3).randbytes(60_000_000).hex().encode()))
    good = tmp_path / "good"
    good.write_text("All is well here.")
    reader = Reader()
    try:
        with pytest.raises(Unreadable):
            reader.read(eaten, "eater.docx", tmp_path)
        assert reader.read(good, "good.txt", tmp_path)["characters"] == 17
    finally:
        reader.close()


def test_a_reader_that_hangs_is_ended(tmp_path, monkeypatch):
    file = tmp_path / "upload"
    file.write_text("All is well here.")
    reader = Reader(timeout_seconds=0.01)
    try:
        with pytest.raises(Unreadable, match="took too long"):
            reader.read(file, "good.txt", tmp_path)
        reader.timeout_seconds = 60
        assert reader.read(file, "good.txt", tmp_path)["characters"] == 17
    finally:
        reader.close()


def test_what_goes_wrong_inside_is_not_told_with_the_documents_words(tmp_path, monkeypatch):
    def fail(*_args):
        raise ValueError("the patient's name is Mara Quist")

    monkeypatch.setattr(reader_process.formats, "read", fail)
    answer, _ = reader_process._read(
        {"file": str(tmp_path), "name": "x.txt", "into": str(tmp_path)}
    )
    assert answer == {"problem": reader_process.UNKNOWN}

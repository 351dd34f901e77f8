"""A document that cannot be read says why; the others are indexed."""

import random
import re

import pytest

from tests.worker.knowledge import files
from worker.knowledge.document_cache import load_text
from worker.knowledge.document_text import Unreadable
from worker.knowledge.readers import reader_process
from worker.knowledge.readers.reader_process import Reader

GOOD_PDF = files.pdf([[(11, "A page.")]])
BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE w [<!ENTITY a "haha">'
    + "".join(
        f'<!ENTITY {after} "{f"&{before};" * 10}">'
        for before, after in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + ']><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
    "<w:body><w:p><w:r><w:t>&i;</w:t></w:r></w:p></w:body></w:document>"
)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
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
        ("laughs.docx", files.word_of(BILLION_LAUGHS), "damaged|no text"),
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
def test_index_bad_document_says_why(store, name, content, problem):
    data = content() if callable(content) else content
    assert re.search(problem, store.problem(name, data))


def test_index_deeply_nested_markup_succeeds(store):
    deep = "<div>" * 200_000 + "At the bottom the answer is 42." + "</div>" * 200_000
    assert store.problem("deep.html", f"<html><body>{deep}") == ""


def test_exceed_memory_limit_ends_only_this_reader(tmp_path):
    large = tmp_path / "large"
    large.write_bytes(files.word_of(b"<a>" + random.Random(3).randbytes(60_000_000).hex().encode()))
    good = tmp_path / "good"
    good.write_text("All is well here.")
    reader = Reader()
    try:
        with pytest.raises(Unreadable):
            reader.read(large, "large.docx", tmp_path)
        reader.read(good, "good.txt", tmp_path)
        assert load_text(tmp_path).text == "All is well here."
    finally:
        reader.close()


def test_exceed_time_limit_ends_the_reader(tmp_path):
    file = tmp_path / "upload"
    file.write_text("All is well here.")
    reader = Reader(timeout_seconds=0.01)
    try:
        with pytest.raises(Unreadable, match="took too long"):
            reader.read(file, "good.txt", tmp_path)
        reader.timeout_seconds = 60
        reader.read(file, "good.txt", tmp_path)
        assert load_text(tmp_path).text == "All is well here."
    finally:
        reader.close()


def test_error_inside_a_reader_does_not_quote_the_document(tmp_path, monkeypatch):
    def fail(*_args):
        raise ValueError("the patient's name is Mara Quist")

    monkeypatch.setattr(reader_process.formats, "read", fail)
    reply, _ = reader_process._read(
        {"file": str(tmp_path), "name": "x.txt", "folder": str(tmp_path)}
    )
    assert reply == {"problem": reader_process.UNKNOWN}

"""Read each format: its text with headings and pages."""

from pathlib import Path

import pytest

from tests.worker.knowledge import files
from worker.knowledge.document_text import DocumentText
from worker.knowledge.readers import formats

LONG = "The pump for {} is made of brass and carries a warranty of some months from its deliv-"


def read(folder: Path, name: str, content: str | bytes) -> DocumentText:
    path = folder / "upload"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return formats.read(path, name)


def blocks(text: DocumentText) -> list[tuple[int, int, str]]:
    return [(b.level, b.page, text.text[b.start : b.end]) for b in text.blocks]


def test_read_pdf_drops_running_header_and_page_numbers(tmp_path):
    pages = [
        [
            (9, f"Aldermere handbook, part {n}"),
            (22, f"Chapter {n}"),
            (11, LONG.format(animal)),
            (11, "ery day."),
            (11, f"Then {animal} come."),
            (9, str(n)),
        ]
        for n, animal in enumerate(("hens", "cats", "dogs", "bees", "cows"), start=1)
    ]
    found = blocks(read(tmp_path, "handbook.pdf", files.pdf(pages)))
    assert found[:3] == [
        (1, 1, "Chapter 1"),
        (0, 1, LONG.format("hens").replace("deliv-", "delivery day.")),
        (0, 1, "Then hens come."),
    ]
    assert [page for level, page, _text in found if level] == [1, 2, 3, 4, 5]


def test_read_word_keeps_headings_lists_and_tables(tmp_path):
    found = blocks(read(tmp_path, "x.docx", files.word()))
    assert [(level, text) for level, _page, text in found] == [
        (1, "Price list"),
        (2, "Seals"),
        (0, "A seal is changed once a year."),
        (0, "Part: Seal 61-0448; Price: 3.40"),
        (0, "- Ring first"),
    ]


def test_read_markdown_drops_the_markup(tmp_path):
    text = read(
        tmp_path,
        "notes.md",
        "---\nauthor: me\n---\n# The *pump*\n\nIt is **brass**, see [here](http://x.example).\n\n"
        "- one\n- two\n\n| Part | Price |\n|---|---|\n| Seal | 3.40 |\n\n```\nset speed = 4\n```\n",
    )
    assert text.text.split("\n\n") == [
        "The pump",
        "It is brass, see here.",
        "- one\n- two",
        "Part | Price",
        "Seal | 3.40",
        "set speed = 4",
    ]
    assert text.blocks[0].level == 1


def test_what_stands_between_two_rules_is_text_unless_it_is_front_matter(tmp_path):
    content = "---\nOpening hours: 9 to 5.\n\nClosed on Mondays.\n\n---\n\n# Returns"
    assert "Closed on Mondays." in read(tmp_path, "rules.md", content).text
    content = "---\ntitle: Returns\ntags:\n  - shop\n- more\n# a comment\n---\nWithin 30 days."
    assert read(tmp_path, "front.md", content).text == "Within 30 days."


def test_read_html_drops_scripts_and_navigation(tmp_path):
    text = read(
        tmp_path,
        "page.html",
        "<!doctype html><html><head><title>Shop</title><style>p{}</style></head><body>"
        "<nav>Home</nav><script>steal('cookies')</script><h2>Opening hours</h2>"
        "<p>We open at 8.30<br>on Tuesdays &amp; Fridays.<p>Closed on Mondays",
    )
    assert text.text.split("\n\n") == [
        "Opening hours",
        "We open at 8.30\non Tuesdays & Fridays.",
        "Closed on Mondays",
    ]


SKIPPED = ["title", "select", "object", "template", "iframe", "script", "style"]


@pytest.mark.parametrize("tag", SKIPPED)
@pytest.mark.parametrize("name", ["letters.md", "letters.html"])
def test_read_keeps_what_follows_a_placeholder(tmp_path, name, tag):
    letter = f"<p>Dear <{tag}> Miller, we write to you.</p>\n\n<p>Yours, Aldermere</p>\n"
    found = read(tmp_path, name, letter).text
    assert "Miller, we write to you." in found
    assert found.endswith("Yours, Aldermere")


@pytest.mark.parametrize("tag", SKIPPED)
def test_read_markdown_keeps_the_line_of_a_placeholder(tmp_path, tag):
    hidden = f"<div><{tag}>x</{tag}></div>"
    letter = f"# Letters\n\nDear <{tag}> Miller, we write to you.\n\n{hidden}\n\nYours\n"
    found = read(tmp_path, "letters.md", letter).text
    assert found.split("\n\n") == ["Letters", f"Dear <{tag}> Miller, we write to you.", "Yours"]


def test_read_many_open_tags_takes_no_time(tmp_path):
    assert "the end" in read(tmp_path, "page.html", "<p><select>" * 100_000 + "the end").text


def test_read_table_repeats_the_column_names_in_each_row(tmp_path):
    text = read(tmp_path, "parts.csv", "Part;Price\nSeal;3,40\nPump;\n\nRing;1,10\n")
    assert text.text.split("\n\n") == [
        "Part: Seal; Price: 3,40",
        "Part: Pump",
        "Part: Ring; Price: 1,10",
    ]


def test_read_table_keeps_rows_that_do_not_fit_its_columns(tmp_path):
    long = "Only in winter. " * 60
    text = read(
        tmp_path,
        "parts.csv",
        "All our parts\n\nPart,Price\nSeal,3.40\nPump,12,per piece\n"
        f'Ring,"1.10\nBolt,{long},"two\nlines",more\nNut,0.20\n',
    )
    assert text.text.split("\n\n") == [
        "All our parts",
        "Part: Seal; Price: 3.40",
        "Pump,12,per piece",
        'Ring,"1.10',
        f'Bolt,{long},"two\nlines",more',
        "Part: Nut; Price: 0.20",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_read_text_detects_the_encoding(tmp_path, encoding):
    content = "Die Größe des Gehäuses.\r\n\r\nCafé “Zum Hirsch” öffnet um acht.".encode(encoding)
    assert read(tmp_path, "notes.txt", content).text == (
        "Die Größe des Gehäuses.\n\nCafé “Zum Hirsch” öffnet um acht."
    )


def test_read_file_with_a_wrong_suffix_follows_the_content(tmp_path):
    assert read(tmp_path, "notes.txt", files.pdf([[(11, "Really a PDF.")]])).pages == 1
    assert read(tmp_path, "notes", "<html><body><h1>Really HTML</h1>").blocks[0].level == 1

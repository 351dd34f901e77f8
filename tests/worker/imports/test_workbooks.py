"""Import Excel and OpenDocument files; cells become the text that they display."""

import contextlib
import datetime

import pytest

from tests.worker.imports.files import GOOD, ODS_END, changed, ods, xlsx, zipped
from worker.channel import UserError
from worker.imports.inspect import inspect_file


def pairs(kept: list[dict]) -> list[tuple[str, str]]:
    return [(row["messages"][-2]["content"], row["messages"][-1]["content"]) for row in kept]


EXACT = ["NA", "None", "null", "00712", "1e5", " spaced ", "TRUE", "línea\nnueva", "=1+1", "👩‍👩‍👧"]


@pytest.mark.parametrize("make", [xlsx, ods])
def test_text_cells_are_kept_exactly(import_file, make):
    cells = [text for text in EXACT if make is xlsx or text not in (" spaced ", "línea\nnueva")]
    rows = [["prompt", "answer"], *([f"Question {n}?", text] for n, text in enumerate(cells))]
    kept, result = import_file(make({"Orders": rows}), "orders.bin")
    assert [answer for _prompt, answer in pairs(kept)] == cells
    assert result["rejected_count"] == 0


def test_numbers_and_dates_are_formatted_as_displayed(import_file):
    rows = [
        ["prompt", "answer"],
        ["whole", 712.0],
        ["part", 1.1],
        ["sum", 0.1 + 0.2],
        ["yes", True],
        ["day", datetime.date(2024, 1, 5)],
        ["moment", datetime.datetime(2024, 1, 5, 14, 30)],
        ["time", datetime.time(14, 30)],
    ]
    formats = {"date": "yyyy-mm-dd", "datetime": "yyyy-mm-dd hh:mm", "time": "hh:mm"}
    kept, _result = import_file(xlsx({"A": rows}, formats))
    assert dict(pairs(kept)) == {
        "whole": "712",
        "part": "1.1",
        "sum": "0.3",
        "yes": "TRUE",
        "day": "2024-01-05",
        "moment": "2024-01-05 14:30:00",
        "time": "14:30:00",
    }


def test_the_first_sheet_with_rows_is_the_default_and_another_can_be_chosen(
    import_file, stored, channel
):
    book = xlsx({"Empty": [], "Orders": GOOD, "Archive": [GOOD[0], ["Old", "Gone"]]})
    shape = inspect_file(stored(book), "b.xlsx", {}, channel)["shape"]
    assert (shape["kind"], shape["format"]) == ("xlsx", "sheet")
    assert shape["sheets"] == ["Empty", "Orders", "Archive"]
    assert shape["sheet"] == "Orders"
    assert shape["encoding"] == ""
    kept, _result = import_file(book, sheet="Archive")
    assert pairs(kept) == [("Old", "Gone")]


def test_a_sheet_of_notes_is_skipped(stored, channel):
    book = stored(xlsx({"Notes": [["Sorted by Jonas"]], "Orders": GOOD}))
    assert inspect_file(book, "b.xlsx", {}, channel)["shape"]["sheet"] == "Orders"
    with pytest.raises(UserError, match="no rows below"):
        inspect_file(book, "b.xlsx", {"sheet": "Notes"}, channel)
    alone = stored(xlsx({"Notes": [["prompt"], ["Is it ready?"]]}))
    assert inspect_file(alone, "b.xlsx", {}, channel)["shape"]["sheet"] == "Notes"


def test_a_missing_or_empty_sheet_is_reported(import_file):
    book = xlsx({"Empty": [], "Orders": GOOD})
    with pytest.raises(UserError, match="no sheet “Other”"):
        import_file(book, sheet="Other")
    with pytest.raises(UserError, match="“Empty” is empty"):
        import_file(book, sheet="Empty")


def test_titles_above_the_header_are_listed(import_file):
    rows = [["Shop emails 2024"], [], ["prompt", "answer"], *GOOD[1:]]
    kept, result = import_file(xlsx({"A": rows}))
    assert pairs(kept) == [("Hello", "Good morning"), ("Bye", "Take care")]
    assert result["rejected"] == [
        {
            "line": 1,
            "reason": "It stands above the names of the columns.",
            "text": "Shop emails 2024 | ",
        },
    ]


def test_a_sheet_without_a_header_is_read_from_its_first_row(import_file):
    rows = [["Where are you?", "In Kettle Lane."], ["When do you open?", "At nine."]]
    kept, _result = import_file(xlsx({"A": rows}))
    assert len(kept) == 2


def test_a_cell_right_of_the_table_is_listed(import_file):
    rows = [*GOOD, *[["More", "Kept"]] * 300, ["Odd", "One", "", "out there"]]
    kept, result = import_file(xlsx({"A": rows}))
    assert len(kept) == 302
    assert "right of the last column" in result["rejected"][0]["reason"]


DOCTYPE = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
XXE = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'


def with_doctype(doctype: bytes, padding: bytes = b""):
    return lambda xml: xml.replace(b"?>", b"?>" + padding + doctype, 1).replace(b"Hello", b"&b;&f;")


def repeated(times: int, columns: int = 16_384) -> str:
    return (
        '<table:table table:name="A"><table:table-row '
        f'table:number-rows-repeated="{times}"><table:table-cell '
        f'table:number-columns-repeated="{columns}" office:value-type="string">'
        "<text:p>x</text:p></table:table-cell></table:table-row></table:table>"
    )


HOSTILE = {
    "billion laughs": (
        lambda: changed(xlsx({"A": GOOD}), "xl/sharedStrings.xml", with_doctype(DOCTYPE)),
        "entities of its own",
    ),
    "a file from outside": (
        lambda: changed(xlsx({"A": GOOD}), "xl/sharedStrings.xml", with_doctype(XXE)),
        "entities of its own",
    ),
    "a cell in the farthest corner": (
        lambda: changed(
            xlsx({"A": GOOD}),
            "xl/worksheets/sheet1.xml",
            lambda xml: xml.replace(b'r="B3"', b'r="XFD1048576"'),
        ),
        "row 1,048,576 and column 16,384",
    ),
    "a bomb": (
        lambda: changed(xlsx({"A": GOOD}), "", None, **{"xl/big.xml": b" " * 50_000_000}),
        "100 times its size",
    ),
    "cut off": (lambda: xlsx({"A": GOOD})[:-200], "cut off or damaged"),
    "no sheet inside": (
        lambda: changed(xlsx({"A": GOOD}), "xl/worksheets/sheet1.xml", lambda xml: b"no XML"),
        "damaged",
    ),
    "a Word document": (lambda: zipped({"word/document.xml": "<x/>"}), "Word or PowerPoint"),
    "no columns but many": (
        lambda: xlsx({"A": [[f"c{n}" for n in range(2_000)]]}),
        "2,000 columns",
    ),
    "an ods of a billion rows": (lambda: ods({}, repeated(10**9)), "damaged"),
    "an ods of sixty million cells": (lambda: ods({}, repeated(60_000, 1_000)), "more memory"),
    "an ods with entities": (
        lambda: changed(ods({"A": GOOD}), "content.xml", with_doctype(DOCTYPE)),
        "entities of its own",
    ),
    "an ods cut off": (
        lambda: changed(ods({"A": GOOD}), "content.xml", lambda xml: xml[: -len(ODS_END) - 40]),
        "damaged",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_workbook_is_rejected_with_a_reason(import_file, case):
    make, message = HOSTILE[case]
    with pytest.raises(UserError) as error:
        import_file(make(), "book.xlsx")
    assert message in error.value.message


def test_an_entity_after_a_long_comment_is_not_expanded(import_file):
    hidden = with_doctype(DOCTYPE + XXE, b"<!--" + b"x" * 10_000 + b"-->")
    book = changed(xlsx({"A": GOOD}), "xl/sharedStrings.xml", hidden)
    kept: list[dict] = []
    with contextlib.suppress(UserError):
        kept, _result = import_file(book)
    assert "root:" not in str(kept)
    assert "haha" not in str(kept)


def test_old_excel_files_and_encrypted_ones_get_different_reasons(import_file):
    with pytest.raises(UserError, match="old Excel"):
        import_file(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "old.xls")
    locked = b"\xd0\xcf\x11\xe0" + bytes(500) + "EncryptedPackage".encode("utf-16-le") + bytes(99)
    with pytest.raises(UserError, match="password"):
        import_file(locked, "locked.xlsx")

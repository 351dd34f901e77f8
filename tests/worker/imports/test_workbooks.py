"""Excel and OpenDocument: the sheet is chosen, the cells become the text a person sees."""

import contextlib
import datetime

import pytest

from tests.worker.imports.files import GOOD, ODS_END, changed, ods, xlsx, zipped
from worker.channel import UserError
from worker.imports.inspect import inspect_file


def pairs(found: list[dict]) -> list[tuple[str, str]]:
    return [(row["messages"][-2]["content"], row["messages"][-1]["content"]) for row in found]


EXACT = ["NA", "None", "null", "00712", "1e5", " spaced ", "TRUE", "línea\nnueva", "=1+1", "👩‍👩‍👧"]


@pytest.mark.parametrize("make", [xlsx, ods])
def test_text_stays_exactly_as_it_stands(take_in, make):
    cells = [text for text in EXACT if make is xlsx or text not in (" spaced ", "línea\nnueva")]
    rows = [["prompt", "answer"], *([f"Question {n}?", text] for n, text in enumerate(cells))]
    found, result = take_in(make({"Orders": rows}), "orders.bin")
    assert [answer for _prompt, answer in pairs(found)] == cells
    assert result["rejected_count"] == 0


def test_numbers_and_dates_look_as_in_the_cell(take_in):
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
    looks = {"date": "yyyy-mm-dd", "datetime": "yyyy-mm-dd hh:mm", "time": "hh:mm"}
    found, _result = take_in(xlsx({"A": rows}, looks))
    assert dict(pairs(found)) == {
        "whole": "712",
        "part": "1.1",
        "sum": "0.3",
        "yes": "TRUE",
        "day": "2024-01-05",
        "moment": "2024-01-05 14:30:00",
        "time": "14:30:00",
    }


def test_the_first_sheet_with_rows_is_taken_and_another_may_be_chosen(take_in, stored, channel):
    book = xlsx({"Empty": [], "Orders": GOOD, "Archive": [GOOD[0], ["Old", "Gone"]]})
    shape = inspect_file(stored(book), "b.xlsx", {}, channel)["shape"]
    assert (shape["kind"], shape["format"]) == ("xlsx", "sheet")
    assert shape["sheets"] == ["Empty", "Orders", "Archive"]
    assert shape["sheet"] == "Orders"
    assert shape["encoding"] == ""
    found, _result = take_in(book, sheet="Archive")
    assert pairs(found) == [("Old", "Gone")]


def test_a_sheet_of_notes_before_the_table_is_passed_over(stored, channel):
    book = stored(xlsx({"Notes": [["Sorted by Jonas"]], "Orders": GOOD}))
    assert inspect_file(book, "b.xlsx", {}, channel)["shape"]["sheet"] == "Orders"
    with pytest.raises(UserError, match="no rows below"):
        inspect_file(book, "b.xlsx", {"sheet": "Notes"}, channel)
    alone = stored(xlsx({"Notes": [["prompt"], ["Is it ready?"]]}))
    assert inspect_file(alone, "b.xlsx", {}, channel)["shape"]["sheet"] == "Notes"


def test_a_sheet_that_is_not_there_or_empty_is_said(take_in):
    book = xlsx({"Empty": [], "Orders": GOOD})
    with pytest.raises(UserError, match="no sheet “Other”"):
        take_in(book, sheet="Other")
    with pytest.raises(UserError, match="“Empty” is empty"):
        take_in(book, sheet="Empty")


def test_titles_above_the_table_are_listed_and_not_learned(take_in):
    rows = [["Shop emails 2024"], [], ["prompt", "answer"], *GOOD[1:]]
    found, result = take_in(xlsx({"A": rows}))
    assert pairs(found) == [("Hello", "Good morning"), ("Bye", "Take care")]
    assert result["rejected"] == [
        {
            "line": 1,
            "reason": "It stands above the names of the columns.",
            "text": "Shop emails 2024 | ",
        },
    ]


def test_a_sheet_without_names_is_read_from_its_first_row(take_in):
    rows = [["Where are you?", "In Kettle Lane."], ["When do you open?", "At nine."]]
    found, _result = take_in(xlsx({"A": rows}))
    assert len(found) == 2


def test_text_beside_the_table_far_down_is_listed(take_in):
    rows = [*GOOD, *[["More", "Kept"]] * 300, ["Odd", "One", "", "out there"]]
    found, result = take_in(xlsx({"A": rows}))
    assert len(found) == 302
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
def test_a_hostile_workbook_ends_in_a_sentence(take_in, case):
    make, sentence = HOSTILE[case]
    with pytest.raises(UserError) as error:
        take_in(make(), "book.xlsx")
    assert sentence in error.value.message


def test_an_entity_behind_a_long_comment_is_never_expanded(take_in):
    hidden = with_doctype(DOCTYPE + XXE, b"<!--" + b"x" * 10_000 + b"-->")
    book = changed(xlsx({"A": GOOD}), "xl/sharedStrings.xml", hidden)
    found: list[dict] = []
    with contextlib.suppress(UserError):
        found, _result = take_in(book)
    assert "root:" not in str(found)
    assert "haha" not in str(found)


def test_old_excel_and_passwords_are_told_apart(take_in):
    with pytest.raises(UserError, match="old Excel"):
        take_in(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "old.xls")
    locked = b"\xd0\xcf\x11\xe0" + bytes(500) + "EncryptedPackage".encode("utf-16-le") + bytes(99)
    with pytest.raises(UserError, match="password"):
        take_in(locked, "locked.xlsx")

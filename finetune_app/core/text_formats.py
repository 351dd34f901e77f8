"""Tables as text: encodings, delimiters, and cells that a spreadsheet would run."""

import codecs

from django.utils.translation import gettext_lazy as _l

DELIMITERS = [
    (",", _l("comma  ,")),
    (";", _l("semicolon  ;")),
    ("\t", _l("tab")),
    ("|", "|"),
]
ENCODINGS = (
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "cp1252",
    "iso-8859-1",
    "iso-8859-15",
    "iso-8859-2",
    "cp1250",
    "cp1251",
    "koi8-r",
    "koi8-u",
    "iso-8859-7",
    "cp1253",
    "iso-8859-9",
    "cp1254",
    "iso-8859-8",
    "cp1255",
    "cp1256",
    "cp932",
    "shift_jis",
    "euc_jp",
    "gb18030",
    "big5",
    "cp949",
    "euc_kr",
    "mac_roman",
    "cp437",
    "cp850",
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet runs as a formula, or swallows, at the start of a cell."""
_NAME_BY_CODEC = {codecs.lookup(name).name: name for name in ENCODINGS}


def canonical_encoding(name: str) -> str:
    """The name in ENCODINGS of a codec; "" when it is not listed."""
    try:
        return _NAME_BY_CODEC.get(codecs.lookup(name).name, "")
    except LookupError:
        return ""


def safe_cell(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would run.

    An import keeps the apostrophe: what has to come back unchanged leaves as JSON lines, as Excel,
    or as an exact table.
    """
    return "'" + text if text.startswith(FORMULA_STARTS) else text

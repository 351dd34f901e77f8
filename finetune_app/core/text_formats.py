"""Text tables: encodings, delimiters, and protection against formula injection."""

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
"""Characters at the start of a cell that make a spreadsheet run or drop it."""
_NAME_BY_CODEC = {codecs.lookup(name).name: name for name in ENCODINGS}


def canonical_encoding(name: str) -> str:
    """The name in ENCODINGS of a codec; "" when it is not listed."""
    try:
        return _NAME_BY_CODEC.get(codecs.lookup(name).name, "")
    except LookupError:
        return ""


def safe_cell(text: str) -> str:
    """Put an apostrophe before a cell that a spreadsheet would run as a formula.

    An import keeps the apostrophe; JSON lines, Excel and exact tables can be imported unchanged.
    """
    return "'" + text if text.startswith(FORMULA_STARTS) else text

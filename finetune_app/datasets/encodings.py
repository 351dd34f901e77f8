"""The encodings that a file may be read and written in."""

import codecs

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
_BY_CODEC = {codecs.lookup(name).name: name for name in ENCODINGS}


def listed(name: str) -> str:
    """The encoding as we call it; "" when it is none of ours."""
    try:
        return _BY_CODEC.get(codecs.lookup(name).name, "")
    except LookupError:
        return ""

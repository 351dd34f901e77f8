"""Sets the report of an evaluation as PDF: `worker.report_pdf < report.json > report.pdf`.

Runs as a child process for one download. The texts are given to the template (report.typ) as data,
so nothing in them is read as its language; the compiler reads no other file and asks no network.
"""

import json
import re
import sys
import unicodedata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1] / "templates" / "evaluation"
FONT_PACKAGES = ("manimgx_fonts", "manimgx_fonts_cjk")  # Noto; the second is an extra
LONG_WORD = re.compile(r"[!-\u024f]{25,}")  # of Latin letters; others have breaks of their own
BREAK = "\u200b"  # zero-width space: a line may end here
BREAK_AFTER = 20  # characters of a word that has no space


def report_pdf(report: dict[str, Any]) -> bytes:
    """As PDF/UA-1, which screen readers can read and in which no character may be missing.

    Where no font has a character, an ordinary PDF that says so.
    """
    import typst

    document = prepared(report)
    try:
        return _compile(document | {"missing": False}, accessible=True)
    except typst.TypstError as error:
        if "could not be displayed" not in str(error):
            raise
        return _compile(document | {"missing": True}, accessible=False)


def _compile(document: dict[str, Any], *, accessible: bool) -> bytes:
    import typst

    return typst.compile(
        str(ROOT / "report.typ"),
        root=str(ROOT),
        font_paths=font_folders(),
        pdf_standards=["ua-1"] if accessible else [],
        sys_inputs={"report": json.dumps(document, ensure_ascii=False)},
    )


def prepared(value: Any) -> Any:
    """Every text as {"text", "lines"}: no control characters, and long words may break."""
    if isinstance(value, dict):
        return {name: prepared(one) for name, one in value.items()}
    if isinstance(value, list):
        return [prepared(one) for one in value]
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> dict[str, Any]:
    clean = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")
    broken = LONG_WORD.sub(_breakable, clean)
    lines = [{"text": line, "rtl": _is_right_to_left(line)} for line in broken.split("\n")]
    return {"text": broken, "lines": lines}


def _breakable(word: re.Match[str]) -> str:
    text = word[0]
    return BREAK.join(text[at : at + BREAK_AFTER] for at in range(0, len(text), BREAK_AFTER))


def _is_right_to_left(text: str) -> bool:
    """By the first letter that has a direction, as dir="auto" does in a browser."""
    for character in text:
        direction = unicodedata.bidirectional(character)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False


def font_folders() -> list[str]:
    """Folders of the font packages that are installed. Their code is not run."""
    found = [find_spec(name) for name in FONT_PACKAGES]
    return [
        str(one.submodule_search_locations[0])
        for one in found
        if one and one.submodule_search_locations
    ]


def main() -> None:
    sys.stdout.buffer.write(report_pdf(json.load(sys.stdin)))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

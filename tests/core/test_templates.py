"""Rules for all templates, such as those of a strict Content-Security-Policy."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
SHEETS = sorted((ROOT / "static" / "css").glob("*.css"))

STAND_ALONE = {"report.html"}  # a file that opens from disk, with its styles in it


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_a_template_has_no_inline_style_script_or_handler(path: Path) -> None:
    source = path.read_text()

    assert not re.search(r"\sstyle\s*=", source)
    assert "<style" not in source or path.name in STAND_ALONE
    assert not re.search(r"\son[a-z]+\s*=", source)
    assert "hx-on" not in source
    assert not re.search(r"<script(?![^>]*\ssrc=)", source)
    assert "javascript:" not in source


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_a_template_asks_no_other_host_for_anything(path: Path) -> None:
    assert not re.search(r"""(?:src|srcset)\s*=\s*["'](?:https?:)?//""", path.read_text())


@pytest.mark.parametrize("path", TEMPLATES, ids=name)
def test_page_texts_have_no_exclamation_marks(path: Path) -> None:
    """No exclamation marks in page texts."""
    source = re.sub(
        r"<!doctype|<!--.*?-->|\{%.*?%\}|\{\{.*?\}\}", "", path.read_text(), flags=re.S | re.I
    )
    words = re.sub(r"<[^>]*>", " ", source)

    assert "!" not in words


@pytest.mark.parametrize("path", [s for s in SHEETS if s.name != "tokens.css"], ids=name)
def test_a_style_sheet_takes_its_colours_from_the_tokens(path: Path) -> None:
    """Exceptions are hover backgrounds and backdrops, which mix tokens."""
    source = path.read_text().replace("#0006", "")
    found = re.findall(r"#[0-9a-fA-F]{3,8}\b(?![^(]*\()", source)

    assert not [c for c in found if not re.search(rf"light-dark\([^)]*{re.escape(c)}", source)]
    assert "http" not in source


@pytest.mark.parametrize("path", SHEETS, ids=name)
def test_a_style_sheet_names_only_tokens_that_exist(path: Path) -> None:
    tokens = set(re.findall(r"(--[a-z0-9-]+)\s*:", (ROOT / "static/css/tokens.css").read_text()))

    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", path.read_text())) <= tokens

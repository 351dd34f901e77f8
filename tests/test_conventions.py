"""Conventions for all files of the project."""

import re
from pathlib import Path

import pytest
from django.conf import settings

pytestmark = pytest.mark.no_database

MAX_LINES = 400
MAX_TEMPLATE_COLUMNS = 160


def files(*suffixes: str) -> list[Path]:
    """The project's own files that end in one of `suffixes`."""
    root = Path(settings.BASE_DIR)
    folders = ("finetune_app", "worker", "tests", "benchmarks", "templates", "static")
    return [
        path
        for folder in folders
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in suffixes and "migrations" not in path.parts
    ]


def lines_where(paths: list[Path], pattern: str) -> list[str]:
    return [
        f"{path}:{number}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(pattern, line)
    ]


def test_files_have_at_most_400_lines():
    found = files(".py", ".html", ".js")
    assert len(found) > 500
    assert [path for path in found if len(path.read_text().splitlines()) > MAX_LINES] == []


def test_template_lines_have_at_most_160_columns():
    assert lines_where(files(".html"), rf".{{{MAX_TEMPLATE_COLUMNS + 1}}}") == []


def test_templates_use_translate_not_trans():
    assert lines_where(files(".html"), r"{%-? *(end)?(block)?trans\b(?!late)") == []


def test_no_code_is_excluded_from_the_formatter():
    found = [path for path in files(".py") if path.name != Path(__file__).name]
    assert lines_where(found, r"fmt: *(skip|off)") == []


def test_every_decision_record_is_in_the_index():
    folder = Path(settings.BASE_DIR) / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    records = sorted(folder.glob("[0-9]*.md"))
    assert records
    assert [record.name for record in records if f"({record.name})" not in index] == []

"""docs/security.md and docs/asvs.md name tests; each of them exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = "".join((ROOT / "docs" / name).read_text() for name in ("security.md", "asvs.md"))
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TABLE)))


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_what_the_table_names_is_there(path, name):
    source = (ROOT / path).read_text()
    assert f"def {name or 'test_'}" in source

"""Importing a million rows needs no more memory than a small file."""

import pytest

from benchmarks.imports import OURS, measured, write

pytestmark = pytest.mark.long
MAX_MB = 500  # resident


@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_importing_a_gigabyte_uses_bounded_memory(tmp_path, kind):
    path = tmp_path / f"pairs.{kind}"
    write(path, 1_000_000, 900)
    rows, _seconds, memory = measured(OURS, str(path))
    assert rows == 1_000_000
    assert memory < MAX_MB


@pytest.mark.timeout(3_000)
def test_importing_a_large_workbook_uses_bounded_memory(tmp_path):
    path = tmp_path / "pairs.xlsx"
    write(path, 800_000, 60)
    rows, _seconds, memory = measured(OURS, str(path))
    assert rows == 800_000
    assert memory < MAX_MB

"""A million rows, a gigabyte: memory stays what it is for a small file."""

import pytest

from benchmarks.imports import OURS, measured, write

pytestmark = pytest.mark.long
MOST = 500  # MB of resident memory


@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_gigabyte_of_rows_comes_in_with_bounded_memory(tmp_path, kind):
    path = tmp_path / f"pairs.{kind}"
    write(path, 1_000_000, 900)
    rows, _seconds, memory = measured(OURS, str(path))
    assert rows == 1_000_000
    assert memory < MOST


@pytest.mark.timeout(3_000)
def test_a_workbook_near_its_limit_does_too(tmp_path):
    path = tmp_path / "pairs.xlsx"
    write(path, 800_000, 60)
    rows, _seconds, memory = measured(OURS, str(path))
    assert rows == 800_000
    assert memory < MOST

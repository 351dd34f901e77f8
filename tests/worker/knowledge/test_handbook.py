"""Search quality on the handbook, whose questions use other words than its pages."""

import pytest

from benchmarks.retrieval import by_method, is_hit, read_handbook, rows

MIN_HIT_RATE = 0.9


@pytest.mark.long
def test_search_handbook_finds_nine_of_ten_answers(tmp_path):
    index, _documents = read_handbook(tmp_path)
    asked = rows("questions")
    rate = {
        method: sum(is_hit(r, q, 5) for r, q in zip(results, asked, strict=True)) / len(asked)
        for method, results in by_method(index, asked).items()
    }
    assert rate["hybrid (what search does)"] >= MIN_HIT_RATE
    assert rate["hybrid (what search does)"] == max(rate.values())

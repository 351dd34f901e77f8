"""The whole way on a real handbook: questions in other words than its own find their page."""

import pytest

from benchmarks.retrieval import by_method, is_hit, read_handbook, rows

AIM = 0.9


@pytest.mark.long
def test_nine_of_ten_questions_find_the_passage_that_answers(tmp_path):
    index, _documents = read_handbook(tmp_path)
    asked = rows("questions")
    rate = {
        method: sum(is_hit(r, q, 5) for r, q in zip(results, asked, strict=True)) / len(asked)
        for method, results in by_method(index, asked).items()
    }
    assert rate["hybrid (what search does)"] >= AIM
    assert rate["hybrid (what search does)"] == max(rate.values())

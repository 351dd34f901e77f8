"""Which measures judge the sample answers of a training."""

import pytest

from worker.training.data import DatasetRow
from worker.training.sample_answers import _passed


@pytest.mark.parametrize(
    ("measure", "passed"),
    [
        ({"kind": "number", "settings": {"tolerance": 5}}, True),
        ({"kind": "exact", "settings": {}}, False),
        ({"kind": "choice", "settings": {}}, None),  # a person decides
        ({"kind": "meaning", "settings": {}}, None),  # no second model beside the training
        ({}, None),
    ],
)
def test_a_sample_is_right_wrong_or_not_judged(measure, passed):
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "100 W"}]
    row = DatasetRow(number=1, split="validation", messages=messages)
    assert _passed(measure, "about 103 W", row) is passed

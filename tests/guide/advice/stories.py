"""The forty stories, and strategies that generate answers for property tests."""

import json
from pathlib import Path

from hypothesis import strategies as st

from finetune_app.guide.advice.answers import CHOICES, COUNTS, YES_OR_NO, Answers

STORIES = [
    json.loads(line)
    for line in (Path(__file__).parent / "scenarios.jsonl").read_text().splitlines()
]


def maybe(strategy):
    return st.none() | strategy


# Small counts, and those around every threshold, come often.
count = st.integers(0, 25) | st.sampled_from([49, 50, 51, 99, 100, 101]) | st.integers(0, 10**9)
answers = st.builds(
    Answers,
    **{name: maybe(st.sampled_from(values)) for name, values in CHOICES.items()},
    **{name: maybe(st.booleans()) for name in YES_OR_NO},
    **{name: maybe(count) for name in COUNTS},
)

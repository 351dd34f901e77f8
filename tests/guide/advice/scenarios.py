"""Forty scenarios, and strategies that generate answers for property tests."""

import json
from pathlib import Path

from hypothesis import strategies as st

from finetune_app.guide.advice.answers import CHOICES, COUNTS, YES_OR_NO, Answers

SCENARIOS = [
    json.loads(line)
    for line in (Path(__file__).parent / "scenarios.jsonl").read_text().splitlines()
]


def optional(strategy):
    return st.none() | strategy


# Small counts, and those around the thresholds, are frequent.
count = st.integers(0, 25) | st.sampled_from([49, 50, 51, 99, 100, 101]) | st.integers(0, 10**9)
answers = st.builds(
    Answers,
    **{name: optional(st.sampled_from(values)) for name, values in CHOICES.items()},
    **{name: optional(st.booleans()) for name in YES_OR_NO},
    **{name: optional(count) for name in COUNTS},
)

"""A model compared with itself, its prompts in other batches: neither side may win.

Numbers in a batch depend a little on what else is in it, so two runs of one model can differ by
chance. In fp32 they must not; and whatever differs must never be called better.
"""

import json
import random

import pytest

from finetune_app.candidates.prompt_builder import PromptTemplate
from finetune_app.evaluation.verdict import compute_verdict
from finetune_app.evaluation.verdict_types import PairedOutcome
from finetune_app.goals.measures import get_measure
from finetune_app.guide.sample import sample
from tests.starter import FOLDER, needs_starter
from worker.engine.engine import Engine
from worker.evaluation.inputs import Candidate, read_test_rows

ANSWER = 16  # tokens


@pytest.fixture
def questions(tmp_path):
    """The sample's test prompts, from a frozen version."""
    tests = [row for row in sample().rows if row["split"] == "test"][:40]
    path = tmp_path / "version.jsonl"
    path.write_text(
        "".join(json.dumps({"id": n, "source": ""} | row) + "\n" for n, row in enumerate(tests))
    )
    return read_test_rows(path)


def answers(engine, questions, order, at_once):
    """The base model's answers, generated in `order`, `at_once` at a time."""
    base = Candidate(1, "base", FOLDER, None, PromptTemplate())
    said = {}
    for start in range(0, len(order), at_once):
        batch = order[start : start + at_once]
        found = engine.generate([base.request(questions[n].messages, ANSWER) for n in batch])
        said |= {n: answer.text for n, answer in zip(batch, found, strict=True)}
    return said


@pytest.mark.long
@needs_starter
def test_the_starter_does_not_beat_itself(questions):
    many = len(questions)
    shuffled = random.Random(17).sample(range(many), many)
    with Engine(FOLDER, "fp32") as engine:
        first = answers(engine, questions, range(many), at_once=many)
        second = answers(engine, questions, shuffled, at_once=3)
    differing = [index for index in first if first[index] != second[index]]
    measure = get_measure(sample().measure, sample().measure_settings)
    outcomes = [
        PairedOutcome.of_passes(
            measure.check(first[q.index], q.wanted).passed,
            measure.check(second[q.index], q.wanted).passed,
        )
        for q in questions
    ]
    verdict = compute_verdict(outcomes, "green")
    print(f"\n{len(differing)} of {many} answers differ; {verdict.headline}")
    assert (verdict.wins, verdict.losses) == (0, 0)
    assert not verdict.better
    assert len(differing) <= 1  # a coin that stood on its edge; more would be a fault of ours

"""What needs no model, scored on training examples, before anything is trained.

An evaluation scores the same and more on its test examples (worker/evaluation/
trivial_baselines.py). This is a first look for the page on which a measure is chosen, so it reads
few rows.
"""

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from finetune_app.datasets.models import Dataset, Split
from finetune_app.datasets.text import normalise
from finetune_app.goals.measures import Measure, get_measure
from finetune_app.goals.models import Goal
from finetune_app.goals.trivial_check import HIGH_SHARE

MIN_ROWS, MAX_ROWS = 10, 200
MAX_CHARACTERS = 15_000  # of the answers of all rows together: a page waits for their scores
MAX_ROW_CHARACTERS = 4_000  # longer examples are left out
MAX_QUESTION_CHARACTERS = 2_000  # of a question, whose words are compared
READ_PER_ROW = 3  # numbers asked for: some are of other splits, or were deleted
HIGH_CONSTANT = 0.5  # of the points
HIGH_NEAREST = 0.8
_WORD = re.compile(r"\w+")

Pair = tuple[str, str]
"""A question and its answer."""


@dataclass(frozen=True)
class TrivialScore:
    """`warning`: what a high score means; empty for a low one."""

    label: str
    result: str
    warning: str


@dataclass(frozen=True)
class TrivialScores:
    rows: int
    scores: list[TrivialScore]


def trivial_scores(goal: Goal) -> TrivialScores | None:
    """By the goal's measure; None with fewer than MIN_ROWS training examples, where a person
    decides, where saying nothing passes, or where the measure needs a model."""
    measure = get_measure(goal.measure, goal.measure_settings) if goal.measure else None
    if not measure or measure.needs_person or measure.needs_embedder or measure.empty_pass():
        return None
    pairs = _training_pairs(goal)
    if len(pairs) < MIN_ROWS:
        return None
    questions, answers = [one for one, _answer in pairs], [answer for _one, answer in pairs]
    constant = measure.best_constant(answers)
    nearest = [answers[at] for at in nearest_others(questions)]
    return TrivialScores(
        len(pairs),
        [
            _score(
                measure,
                questions,
                answers,
                _("Repeating the question"),
                HIGH_SHARE,
                _("A model can look good by copying. Another measure would tell you more."),
            ),
            _score(
                measure,
                [constant] * len(pairs),
                answers,
                _("Always the same answer, the one that scores best"),
                HIGH_CONSTANT,
                _(
                    "One answer to everything would look good. Collect more examples of the "
                    "rarer answers, or choose a measure that is harder to please."
                ),
            ),
            _score(
                measure,
                nearest,
                answers,
                _("The answer of the example with the nearest words"),
                HIGH_NEAREST,
                _(
                    "Looking up an example that was asked nearly the same would do. Either that "
                    "is all you need, or the examples are too much alike."
                ),
            ),
        ],
    )


def _score(
    measure: Measure,
    given: Sequence[str],
    wanted: Sequence[str],
    label: str,
    high: float,
    warning: str,
) -> TrivialScore:
    scores = [measure.check(*pair) for pair in zip(given, wanted, strict=True)]
    if measure.graded:
        share = sum(score.value for score in scores) / len(scores)
        result = _("%(n).0f of 100 points") % {"n": 100 * share}
    else:
        right = sum(score.passed for score in scores)
        share = right / len(scores)
        result = _("%(right)d of %(all)d right") % {"right": right, "all": len(scores)}
    return TrivialScore(label, result, warning if share >= high else "")


def _training_pairs(goal: Goal) -> list[Pair]:
    """An even choice of at most MAX_ROWS training examples, as few as MAX_CHARACTERS allows."""
    dataset = Dataset.objects.filter(goal=goal).first()
    if dataset is None:
        return []
    usable = dataset.examples.usable().filter(split=Split.TRAIN)
    last = usable.order_by("-number").values_list("number", flat=True).first() or 0
    step = max(1, last // (READ_PER_ROW * MAX_ROWS))
    # In order of the number, and the length looked at here: else SQLite reads all rows by length.
    rows = usable.filter(number__in=range(1, last + 1, step)).order_by("number")
    pairs = [
        (question, answer)
        for question, answer, length in rows.values_list("prompt", "answer", "length")
        if question and answer and length <= MAX_ROW_CHARACTERS
    ]
    if not pairs:
        return []
    mean = sum(len(answer) for _question, answer in pairs) / len(pairs)
    return _evenly(pairs, max(MIN_ROWS, min(MAX_ROWS, int(MAX_CHARACTERS / mean))))


def _evenly(pairs: list[Pair], most: int) -> list[Pair]:
    return [pairs[at * len(pairs) // most] for at in range(most)] if len(pairs) > most else pairs


def nearest_others(questions: Sequence[str]) -> list[int]:
    """For each question the place of the other one that shares the most telling words (cosine of
    the inverse document frequencies); another one where no word is shared."""
    words = [
        set(_WORD.findall(normalise(question[:MAX_QUESTION_CHARACTERS]))) for question in questions
    ]
    holding: dict[str, list[int]] = defaultdict(list)
    for at, found in enumerate(words):
        for word in found:
            holding[word].append(at)
    weights = {word: math.log(len(words) / len(at)) ** 2 for word, at in holding.items()}
    norms = [math.sqrt(sum(weights[word] for word in found)) or 1.0 for found in words]
    nearest = []
    for at, found in enumerate(words):
        shared = defaultdict(float, {(at + 1) % len(words): 0.0})
        for word in found:
            for other in holding[word]:
                shared[other] += weights[word]
        shared.pop(at, None)
        nearest.append(max(shared, key=lambda other: (shared[other] / norms[other], -other)))
    return nearest

"""Ideas for writing more examples: each one combines an existing pair with a variation.

Every pair gets all variations before one repeats, so that the new examples are diverse.
"""

import math
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from finetune_app.datasets.enough_examples import ENOUGH_TESTS, PILOT_EXAMPLES, STEADY_EXAMPLES
from finetune_app.datasets.models import Dataset, Split
from finetune_app.datasets.splits import WITHOUT_TRAINING

# Of which ENOUGH_TESTS become test examples.
TARGET_WITHOUT_TRAINING = math.floor(ENOUGH_TESTS / WITHOUT_TRAINING.test)
MAX_EXAMPLE_PAIRS = 20  # used when the goal has no pairs of its own


@dataclass(frozen=True)
class Variation:
    """A variation of a pair: `ask` says what to write, `why` gives the reason."""

    key: str
    ask: str | Promise
    why: str | Promise


VARIATIONS = (
    Variation(
        "other",
        _("The same request, about something else"),
        _("So that it learns the way, not the one case."),
    ),
    Variation("shorter", _("Much shorter: five words"), _("People in a hurry write like that.")),
    Variation(
        "angry", _("From somebody who is angry"), _("The answer should stay what you would say.")
    ),
    Variation(
        "missing",
        _("With a detail missing that you need"),
        _("It learns to ask, or to answer without inventing."),
    ),
    Variation(
        "typos",
        _("With typing mistakes, no capitals, no full stops"),
        _("That is how it arrives from a phone."),
    ),
    Variation(
        "longer",
        _("Long, with the request hidden in the middle"),
        _("Real messages tell a story first."),
    ),
    Variation(
        "edge",
        _("A case where you had to think"),
        _("The cases at the edge show where your rule ends."),
    ),
    Variation(
        "two", _("With two requests at once"), _("It learns which comes first, or to do both.")
    ),
    Variation(
        "language",
        _("In another language that your people write"),
        _("Answer in the language you would answer in."),
    ),
    Variation(
        "polite",
        _("Very polite, with greetings and thanks"),
        _("It learns to look past what does not matter."),
    ),
    Variation(
        "refuse",
        _("Something that this should not answer at all"),
        _("It learns to say no as you would."),
    ),
    Variation(
        "follow",
        _("As somebody who writes for the second time"),
        _("“As I said on Monday …” is common, and confusing."),
    ),
)


@dataclass(frozen=True)
class SourcePair:
    prompt: str
    answer: str


@dataclass(frozen=True)
class WritingIdea:
    index: int
    pair: SourcePair
    variation: Variation


def source_pairs(dataset: Dataset) -> list[SourcePair]:
    """The pairs of the goal's description, else some examples outside the test split."""
    own = [
        SourcePair(one["prompt"], one["answer"])
        for one in dataset.goal.pairs
        if one.get("prompt") and one.get("answer")
    ]
    if own:
        return own
    rows = dataset.examples.usable().exclude(split=Split.TEST).order_by("number")
    return [SourcePair(row.prompt, row.answer) for row in rows[:MAX_EXAMPLE_PAIRS]]


def idea_at(dataset: Dataset, index: int) -> WritingIdea | None:
    """The idea with this index, which may be any number; None when there are no pairs yet."""
    pairs = source_pairs(dataset)
    if not pairs:
        return None
    cycle, position = divmod(index, len(pairs))
    variation = VARIATIONS[(cycle + position) % len(VARIATIONS)]
    return WritingIdea(index, pairs[position], variation)


def targets(dataset: Dataset) -> list[tuple[int, str | Promise]]:
    """How many examples to write, in steps, each with the reason."""
    if not dataset.goal.trains:
        return [
            (
                TARGET_WITHOUT_TRAINING,
                format_lazy(
                    _(
                        "about {n} of them become the test, enough to tell a real difference from "
                        "chance"
                    ),
                    n=ENOUGH_TESTS,
                ),
            )
        ]
    return [
        (PILOT_EXAMPLES, _("from here on training usually shows an effect")),
        (STEADY_EXAMPLES, _("from here on results get steady, and enough is left to test with")),
    ]

"""Ideas for somebody who has a handful of pairs: write one of them again, differently.

Each idea takes one of the person's own pairs and one way to change it. The ways go round before
one comes again to the same pair, so that what is written covers what really arrives.
"""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from finetune_app.checks.rules.amount import GOOD, SOME
from finetune_app.datasets.models import Dataset, Split

QUESTIONS = 28  # where nothing is trained: some 20 of them become the test
SHOWN = 20  # examples to vary where the goal has no pairs of its own


@dataclass(frozen=True)
class Way:
    """One way to change a pair; `ask` says what to write, `why` what it is good for."""

    key: str
    ask: str | Promise
    why: str | Promise


WAYS = (
    Way(
        "other",
        _("The same wish, about something else"),
        _("So that it learns the way, not the one case."),
    ),
    Way("shorter", _("Much shorter: five words"), _("People in a hurry write like that.")),
    Way("angry", _("From somebody who is angry"), _("The answer should stay what you would say.")),
    Way(
        "missing",
        _("With a detail missing that you need"),
        _("It learns to ask, or to answer without inventing."),
    ),
    Way(
        "typos",
        _("With typing mistakes, no capitals, no full stops"),
        _("That is how it arrives from a phone."),
    ),
    Way(
        "longer",
        _("Long, with the wish hidden in the middle"),
        _("Real messages tell a story first."),
    ),
    Way(
        "edge",
        _("A case where you had to think"),
        _("The cases at the edge show where your rule ends."),
    ),
    Way("two", _("With two wishes at once"), _("It learns which comes first, or to do both.")),
    Way(
        "language",
        _("In another language that your people write"),
        _("Answer in the language you would answer in."),
    ),
    Way(
        "polite",
        _("Very polite, with greetings and thanks"),
        _("It learns to look past what does not matter."),
    ),
    Way(
        "refuse",
        _("Something that this should not answer at all"),
        _("It learns to say no as you would."),
    ),
    Way(
        "follow",
        _("As somebody who writes for the second time"),
        _("“As I said on Monday …” is common, and confusing."),
    ),
)


@dataclass(frozen=True)
class Pair:
    prompt: str
    answer: str


@dataclass(frozen=True)
class Idea:
    at: int
    pair: Pair
    way: Way


def pairs_of(dataset: Dataset) -> list[Pair]:
    """The goal's own pairs; where it has none, some that it learns from."""
    own = [
        Pair(one["prompt"], one["answer"])
        for one in dataset.goal.pairs
        if one.get("prompt") and one.get("answer")
    ]
    if own:
        return own
    rows = dataset.examples.usable().exclude(split=Split.TEST).order_by("number")
    return [Pair(row.prompt, row.answer) for row in rows[:SHOWN]]


def idea(dataset: Dataset, at: int) -> Idea | None:
    """The idea with this number; None where there is nothing to vary yet."""
    pairs = pairs_of(dataset)
    if not pairs:
        return None
    turn, place = divmod(at, len(pairs))
    return Idea(at, pairs[place], WAYS[(turn + place) % len(WAYS)])


def targets(dataset: Dataset) -> list[tuple[int, str | Promise]]:
    """How many examples to write, and why so many."""
    if not dataset.goal.trains:
        return [
            (
                QUESTIONS,
                _("about 20 of them become the test, enough to tell a real difference from chance"),
            )
        ]
    return [
        (SOME, _("from here on training usually shows an effect")),
        (GOOD, _("from here on results get steady, and enough is left to test with")),
    ]

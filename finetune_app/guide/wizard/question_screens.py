"""The questions as screens: one question each, its answers as cards."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from django.utils.translation import gettext_lazy as _

from finetune_app.guide.advice.answers import COUNTS
from finetune_app.guide.advice.questions import HEAVY_USE, QUESTIONS, Question, Text, Value

SavedAnswers = Mapping[str, Value | None]
"""Answers by question; None for a skipped one."""


@dataclass(frozen=True)
class Card:
    key: str  # what the form sends
    title: Text
    hint: Text
    gives: dict[str, Value]  # the answers it stands for


@dataclass(frozen=True)
class Screen:
    name: str  # in its address
    title: Text
    help: Text
    why: Text
    cards: tuple[Card, ...]
    names: tuple[str, ...]  # the questions it answers
    counts: bool = field(default=False)  # a number may be typed instead

    def chosen(self, answers: SavedAnswers) -> str:
        """The key of the card that stands for these answers; "" when none does."""
        given = {name: answers.get(name) for name in self.names}
        return next((card.key for card in self.cards if card.gives == given), "")


def _screen(question: Question) -> Screen:
    cards = tuple(
        Card(str(choice.value).lower(), choice.title, choice.hint, {question.name: choice.value})
        for choice in question.choices
    )
    return Screen(
        question.name,
        question.title,
        question.help,
        question.why,
        cards,
        (question.name,),
        question.name in COUNTS,
    )


USE = Screen(
    "use",
    _("Does one of these apply?"),
    _(
        "Private data is what not everybody may read. Heavy use is thousands of questions a day, "
        "or pages of instructions with each."
    ),
    _(
        "A trained model may repeat what it read, so private data has to be looked at first. And "
        "long instructions are paid for with every question; a model that has learned needs few."
    ),
    (
        Card(
            "neither",
            _("Neither"),
            _("Nothing private, used now and then"),
            {"private_data": False, "heavy_use": False},
        ),
        Card(
            "private",
            _("There is private data"),
            _("About customers, patients, staff"),
            {"private_data": True, "heavy_use": False},
        ),
        Card(
            "heavy",
            _("It will be used very much"),
            _("So that cost or waiting matters"),
            {"private_data": False, "heavy_use": True},
        ),
        Card(
            "both",
            _("Both"),
            _("Private data, and heavy use"),
            {"private_data": True, "heavy_use": True},
        ),
    ),
    ("private_data", "heavy_use"),
)
ASKED = (
    "improve",
    "tried_prompt",
    "facts_change",
    "needs_sources",
    "documents",
    "pairs",
    "test_questions",
)
ALL = (*(_screen(QUESTIONS[name]) for name in ASKED), USE)
WITHOUT_PRIVATE = _screen(HEAVY_USE)  # the last screen, when private data was found already
NAMES = frozenset(screen.name for screen in (*ALL, WITHOUT_PRIVATE))


def screens(known: Collection[str]) -> list[Screen]:
    """The screens for the questions that are not `known`: at most eight."""
    last = WITHOUT_PRIVATE if "private_data" in known else USE
    asked = [screen for screen in ALL[:-1] if screen.name not in known]
    return [*asked, last]

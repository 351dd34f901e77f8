"""What a rule is: when it applies, what it does, a plain sentence, the answers it speaks of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise

from finetune_app.guide.advice.answers import Answers

Words = Promise | Callable[[Answers], str]


@dataclass(frozen=True)
class Stop:
    """Decides at once."""

    what: str

    @property
    def words(self) -> str:
        return f"decides: {self.what}"


@dataclass(frozen=True)
class Points:
    prompt: int = 0
    rag: int = 0
    fine_tune: int = 0
    never_alone: bool = False  # fine-tuning without a search is ruled out

    def __add__(self, other: "Points") -> "Points":
        return Points(
            self.prompt + other.prompt,
            self.rag + other.rag,
            self.fine_tune + other.fine_tune,
            self.never_alone or other.never_alone,
        )

    @property
    def words(self) -> str:
        named = (("instructions", self.prompt), ("search", self.rag), ("training", self.fine_tune))
        said = [f"{name} {points:+d}".replace("-", "−") for name, points in named if points]
        return ", ".join(said + ["never training alone"] * self.never_alone)


@dataclass(frozen=True)
class Collect:
    """The way `of` cannot begin before this is there."""

    what: str
    of: tuple[str, ...]

    @property
    def words(self) -> str:
        return f"before {' or '.join(self.of)}: {self.what}"


@dataclass(frozen=True)
class Note:
    """To keep in mind on the ways `of`."""

    of: tuple[str, ...]

    @property
    def words(self) -> str:
        return f"note on {' or '.join(self.of)}"


@dataclass(frozen=True)
class Rule:
    name: str
    when: Callable[[Answers], bool]
    effect: Any  # Stop, Points, Collect or Note
    says: Words
    quotes: tuple[str, ...] | Callable[[Answers], tuple[str, ...]]  # the answers it speaks of
    source: tuple[str, ...]  # keys of SOURCES
    if_: str = ""  # when it applies, in words, for the table in docs/wizard.md

    def sentence(self, answers: Answers) -> str:
        return str(self.says(answers) if callable(self.says) else self.says)

    def quoted(self, answers: Answers) -> tuple[str, ...]:
        """The answers it speaks of, of those that were given."""
        names = self.quotes(answers) if callable(self.quotes) else self.quotes
        return tuple(name for name in names if getattr(answers, name) is not None)

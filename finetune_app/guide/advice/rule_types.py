"""A rule: its condition, its effect, its sentence, and the answers that it refers to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise

from finetune_app.guide.advice.answers import Answers

Words = Promise | Callable[[Answers], str]


@dataclass(frozen=True)
class Gate:
    """Decides at once."""

    recommendation: str

    @property
    def words(self) -> str:
        return f"decides: {self.recommendation}"


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
        parts = [f"{name} {points:+d}".replace("-", "−") for name, points in named if points]
        return ", ".join(parts + ["never training alone"] * self.never_alone)


@dataclass(frozen=True)
class Collect:
    """`methods` cannot begin before this is collected."""

    recommendation: str
    methods: tuple[str, ...]

    @property
    def words(self) -> str:
        return f"before {' or '.join(self.methods)}: {self.recommendation}"


@dataclass(frozen=True)
class Note:
    """Shown when one of `methods` is recommended."""

    methods: tuple[str, ...]

    @property
    def words(self) -> str:
        return f"note on {' or '.join(self.methods)}"


@dataclass(frozen=True)
class Rule:
    name: str
    when: Callable[[Answers], bool]
    effect: Any  # Gate, Points, Collect or Note
    text: Words
    quotes: tuple[str, ...] | Callable[[Answers], tuple[str, ...]]  # the answers it refers to
    source: tuple[str, ...]  # keys of SOURCES
    condition: str = ""  # `when` in words, for the table in docs/wizard.md

    def sentence(self, answers: Answers) -> str:
        return str(self.text(answers) if callable(self.text) else self.text)

    def quoted(self, answers: Answers) -> tuple[str, ...]:
        """The answers it refers to, of those that were given."""
        names = self.quotes(answers) if callable(self.quotes) else self.quotes
        return tuple(name for name in names if getattr(answers, name) is not None)

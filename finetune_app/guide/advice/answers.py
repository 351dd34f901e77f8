"""The answers of the wizard, all optional: a skipped one is None."""

from dataclasses import dataclass, fields, replace
from typing import Any

from django.utils.translation import gettext as _

CHOICES: dict[str, tuple[str, ...]] = {
    "improve": ("facts", "tone", "format", "task", "skill", "unsure"),
    "facts_change": ("never", "monthly", "weekly", "daily"),
    "tried_prompt": ("no", "good_enough", "inconsistent", "lacks_facts"),
}
YES_OR_NO = ("needs_sources", "private_data", "heavy_use")
COUNTS = ("pairs", "documents", "test_questions")
MAX_COUNT = 1_000_000_000


class AnswersError(ValueError):
    """An invalid answer. The message says what is wrong and what is allowed."""


@dataclass(frozen=True)
class Answers:
    """None means not answered; rules refer only to given answers."""

    improve: str | None = None  # what should get better
    facts_change: str | None = None  # how often the facts in its answers change
    needs_sources: bool | None = None  # answers must cite their source
    tried_prompt: str | None = None  # result of clear instructions with a few examples
    pairs: int | None = None  # good example pairs
    documents: int | None = None  # that contain the answers
    test_questions: int | None = None  # with known answers, kept aside
    private_data: bool | None = None
    heavy_use: bool | None = None  # enough requests, or long enough ones, to be expensive

    @classmethod
    def read(cls, given: Any) -> "Answers":
        """From JSON. Raises AnswersError on anything that is not an answer to a question."""
        if not isinstance(given, dict):
            raise AnswersError(
                _(
                    "The answers have to be one JSON object, such as "
                    '{"improve": "tone", "pairs": 40}.'
                )
            )
        unknown = [name for name in given if name not in NAMES]
        if unknown:
            raise AnswersError(
                _("“%(name)s” is none of the questions. They are: %(names)s.")
                % {"name": str(unknown[0])[:40], "names": ", ".join(NAMES)}
            )
        for name, value in given.items():
            if value is not None:
                _check(name, value)
        return cls(**given)

    def but(self, name: str, value: str | int | bool | None) -> "Answers":
        """A copy with one answer changed."""
        changed: dict[str, Any] = {name: value}
        return replace(self, **changed)

    def as_json(self) -> dict[str, str | int | bool]:
        """The given answers by name."""
        return {name: value for name in NAMES if (value := getattr(self, name)) is not None}


NAMES = tuple(field.name for field in fields(Answers))


def _check(name: str, value: Any) -> None:
    shown = {"name": name, "value": str(value)[:40]}
    if name in CHOICES and value not in CHOICES[name]:
        raise AnswersError(
            _("“%(name)s” is one of %(choices)s, not “%(value)s”.")
            % (shown | {"choices": ", ".join(CHOICES[name])})
        )
    if name in YES_OR_NO and not isinstance(value, bool):
        raise AnswersError(_("“%(name)s” is true or false, not “%(value)s”.") % shown)
    if name in COUNTS and (
        isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT
    ):
        raise AnswersError(_("“%(name)s” is a whole number, 0 or more, not “%(value)s”.") % shown)

"""The base class of the success measures, with their settings, score and errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from finetune_app.goals.measures.field_scores import FieldPair
from finetune_app.goals.measures.typical_answers import (
    common_words,
    commonest_answers,
    evenly,
)

MAX_CHARACTERS = 200_000  # a longer answer is runaway generation, not worth checking
MAX_AMOUNT = 1e15
COMPARED_CHARACTERS = 2_000_000  # of candidates for a constant answer, over all comparisons

MeasureSettings = dict[str, Any]
"""Values by name; each measure has its own (`Measure.settings_schema`)."""


class MeasureError(ValueError):
    """The measure cannot be used like this. The message is fit for a page."""


class NeedsPerson(MeasureError):
    """This measure is a person's choice, so `check` is not possible."""


class NeedsEmbedder(MeasureError):
    """The texts are compared by their embeddings, and nothing makes some here or now."""


@dataclass(frozen=True)
class Score:
    """The result of checking one answer.

    `value` is between 0 and 1, and 1 for every passed answer unless the measure grades. `why` is a
    short label for the page, such as "Topic differs".
    """

    passed: bool
    value: float
    why: str


@dataclass(frozen=True)
class Setting:
    """One setting of a measure: its type, label, default and choices."""

    type: Literal["switch", "count", "share", "amount", "text", "list", "choice"]
    label: str
    default: Any
    choices: tuple[str, ...] = ()

    def read(self, given: Any) -> Any:
        """Return `given` in the right type, or raise MeasureError."""
        if given is None:
            return self.default
        return getattr(self, f"_read_{self.type}")(given)

    def _read_switch(self, given: Any) -> bool:
        if not isinstance(given, bool):
            raise MeasureError(f"“{self.label}” is either on or off.")
        return given

    def _read_count(self, given: Any) -> int:
        if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= 100_000:
            raise MeasureError(f"“{self.label}” needs a whole number from 1 to 100,000.")
        return given

    def _read_share(self, given: Any) -> float:
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= 1:
            raise MeasureError(f"“{self.label}” needs a number above 0 and at most 1.")
        return float(given)

    def _read_amount(self, given: Any) -> float:
        if (
            isinstance(given, bool)
            or not isinstance(given, int | float)
            or not 0 <= given <= MAX_AMOUNT
        ):
            raise MeasureError(f"“{self.label}” needs a number that is not below 0.")
        return float(given)

    def _read_text(self, given: Any) -> str:
        if not isinstance(given, str) or len(given) > 1_000:
            raise MeasureError(f"“{self.label}” needs a text of at most 1,000 characters.")
        return given

    def _read_list(self, given: Any) -> list[str]:
        if not isinstance(given, list | tuple) or len(given) > 100:
            raise MeasureError(f"“{self.label}” needs a list of at most 100 texts.")
        texts = [self._read_text(text).strip() for text in given]
        return [text for text in texts if text]

    def _read_choice(self, given: Any) -> str:
        if given not in self.choices:
            raise MeasureError(f"“{self.label}” is one of: {', '.join(self.choices)}.")
        return str(given)


class Measure:
    """A success measure with its settings read and checked.

    Subclasses name their settings in `settings_schema` and implement `_check`.
    """

    kind: ClassVar[str]
    settings_schema: ClassVar[dict[str, Setting]] = {}
    needs_person: ClassVar[bool] = False
    needs_embedder: ClassVar[bool] = False
    # Whether `Score.passed` says that an answer is right, not only that it comes close enough.
    tells_right: ClassVar[bool] = True
    # A graded measure compares candidates by `Score.value`, the others by `Score.passed`.
    graded: bool = False

    def __init__(self, settings: MeasureSettings | None = None) -> None:
        given = dict(settings or {})
        unknown = sorted(str(name) for name in given.keys() - self.settings_schema.keys())
        if unknown:
            raise MeasureError(f"This measure has no setting called “{unknown[0]}”.")
        self.settings: MeasureSettings = {
            name: setting.read(given.get(name)) for name, setting in self.settings_schema.items()
        }

    def check(self, answer: str, wanted: str) -> Score:
        """Score `answer` against `wanted`. No text makes it raise, and none is executed.

        Raises NeedsPerson or NeedsEmbedder where the measure cannot be computed at all.
        """
        if len(answer) > MAX_CHARACTERS:
            return Score(False, 0.0, f"Too long to check: {len(answer):,} characters")
        if len(wanted) > MAX_CHARACTERS:
            return Score(False, 0.0, "The wanted answer is too long to check")
        return self._check(answer, wanted)

    def empty_pass(self) -> str:
        """A text without content that passes whatever was asked; "" where there is none."""
        return ""

    def best_constant(self, answers: Sequence[str]) -> str:
        """The answer that scores best when it is given to everything, judged by `answers`, the
        wanted ones of the training rows. Of few candidates, on an even choice of rows."""
        some = commonest_answers(answers, 10) + evenly(answers, 10)
        frames = [common_words(text, answers) for text in some] if self.graded else []
        return self._best_of([*some, *frames], answers)

    def _best_of(self, candidates: Sequence[str], answers: Sequence[str], rows: int = 40) -> str:
        """The candidate with the highest mean score on at most `rows` answers; "" without any."""
        length = sum(map(len, candidates))  # long texts are compared with fewer
        wanted = evenly(answers, max(5, min(rows, COMPARED_CHARACTERS // max(length, 1))))

        def total(candidate: str) -> float:
            scores = [self.check(candidate, one) for one in wanted]
            return sum(s.value if self.graded else float(s.passed) for s in scores)

        return max(dict.fromkeys(candidates), key=total, default="")

    def fields(self, answer: str, wanted: str) -> FieldPair | None:
        """The fields of the answer and of the wanted one; None where answers have no fields."""
        return None

    def label(self, text: str) -> str | None:
        """The text as a label, equal for answers that this measure treats as equal; None where an
        answer is no label."""
        return None

    def summary(self) -> str:
        """What passes, in one sentence for a person."""
        raise NotImplementedError

    def instruction(self) -> str:
        """What passes, in one sentence for a model; "" where a sentence would not help it."""
        raise NotImplementedError

    def _check(self, answer: str, wanted: str) -> Score:
        raise NotImplementedError


AS_WANTED = Score(True, 1.0, "As wanted")

"""A measure in which a person chooses between two answers without their names."""

from __future__ import annotations

from finetune_app.goals.measures.base import Measure, NeedsPerson, Score


class BlindChoice(Measure):
    """For style and tone, which no program can judge fairly."""

    kind = "choice"
    needs_person = True

    def summary(self) -> str:
        return "You choose the better of two answers, without seeing which model wrote which."

    def instruction(self) -> str:
        return ""  # what makes an answer better is not defined

    def check(self, answer: str, wanted: str) -> Score:
        raise NeedsPerson("Only a person can judge this: compare the answers side by side.")

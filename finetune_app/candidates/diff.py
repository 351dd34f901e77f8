"""What changed between two versions: instructions, few-shot examples and answers."""

import re
from dataclasses import dataclass, field

from finetune_app.candidates.models import ValidationAnswer
from finetune_app.candidates.specs import Shot
from finetune_app.candidates.validation_prompts import PromptResult, ValidationPrompt
from finetune_app.core.word_diff import DiffPart, diff_words


@dataclass(frozen=True)
class PromptDiff:
    words: list[DiffPart]
    shots_added: list[Shot] = field(default_factory=list)
    shots_gone: list[Shot] = field(default_factory=list)

    @property
    def added(self) -> int:
        return self._count("added")

    @property
    def gone(self) -> int:
        return self._count("gone")

    def _count(self, kind: str) -> int:
        return sum(
            len(re.findall(r"\w+", piece.text)) or bool(piece.text.strip())
            for piece in self.words
            if piece.kind == kind
        )


def diff_prompts(
    before: str,
    after: str,
    shots_before: list[Shot] | None = None,
    shots_after: list[Shot] | None = None,
) -> PromptDiff:
    old, new = shots_before or [], shots_after or []
    return PromptDiff(
        diff_words(before, after),
        [shot for shot in new if shot not in old],
        [shot for shot in old if shot not in new],
    )


@dataclass(frozen=True)
class ChangedAnswer:
    """A validation prompt that only one of two versions answers correctly."""

    prompt: ValidationPrompt
    before: ValidationAnswer
    after: ValidationAnswer


def changed_answers(before: list[PromptResult], after: list[PromptResult]) -> list[ChangedAnswer]:
    """Prompts that both versions have answered, one correctly and the other not."""
    earlier = {one.prompt.example_id: one.answer for one in before if one.answer}
    return [
        ChangedAnswer(one.prompt, old, one.answer)
        for one in after
        if one.answer
        and (old := earlier.get(one.prompt.example_id))
        and old.passed != one.answer.passed
    ]

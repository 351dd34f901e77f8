"""What changed between two versions: words added and taken out, shots likewise. Pure."""

import re
from dataclasses import dataclass, field
from typing import Any

from finetune_app.core.word_diff import DiffPart, diff_words


@dataclass(frozen=True)
class Difference:
    words: list[DiffPart]
    shots_added: list[dict[str, str]] = field(default_factory=list)
    shots_gone: list[dict[str, str]] = field(default_factory=list)

    @property
    def added(self) -> int:
        return self._count("added")

    @property
    def gone(self) -> int:
        return self._count("gone")

    @property
    def is_none(self) -> bool:
        return not (self.added or self.gone or self.shots_added or self.shots_gone)

    def _count(self, kind: str) -> int:
        return sum(
            len(re.findall(r"\w+", piece.text)) or bool(piece.text.strip())
            for piece in self.words
            if piece.kind == kind
        )


def difference(
    before: str,
    after: str,
    shots_before: list[dict[str, str]] | None = None,
    shots_after: list[dict[str, str]] | None = None,
) -> Difference:
    old, new = shots_before or [], shots_after or []
    return Difference(
        diff_words(before, after),
        [shot for shot in new if shot not in old],
        [shot for shot in old if shot not in new],
    )


def outcomes(before: list[Any], after: list[Any]) -> list[dict[str, Any]]:
    """The practice prompts on which two versions differ: {"practice", "before", "after"}. Only
    those that both were asked."""
    then = {one.practice.row: one for one in before if one.answer}
    return [
        {"practice": new.practice, "before": old.answer, "after": new.answer}
        for new in after
        if new.answer
        and (old := then.get(new.practice.row))
        and old.answer.passed != new.answer.passed
    ]

"""What a check gets and what it gives."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from finetune_app.datasets.models import Severity


class Row(NamedTuple):
    """One approved example."""

    pk: int
    number: int
    prompt: str
    answer: str
    split: str
    prompt_hash: str
    messages: list[dict[str, str]]


@dataclass(frozen=True)
class About:
    """What checks know about the goal."""

    measure: str
    measure_settings: dict[str, Any]
    trains: bool = True  # else the rows are only questions to test and to practise with


@dataclass(frozen=True)
class Found:
    check: str
    severity: Severity
    message: str  # one plain line
    why: str  # one plain sentence: what it does to the model or to the verdict
    examples: list[int] = field(default_factory=list)  # pks
    fix: str = ""
    fix_label: str = ""

    @property
    def count(self) -> int:
        return len(self.examples)

"""What rooms above this one add to a report; each registers itself in its AppConfig.ready()."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.report.sections import Section


@dataclass(frozen=True)
class OtherOpinion:
    """What somebody else than the measure preferred, by the index of a prompt: an outcome of
    Comparison.Outcome for ours against base."""

    by: str
    outcomes: Mapping[int, str]


class ReportAddition:
    """Of one room."""

    def sections(self, evaluation: Evaluation) -> list[Section]:
        """Parts of the report, as HTML and as PDF."""
        return []

    def opinions(self, evaluation: Evaluation) -> list[OtherOpinion]:
        """What the tables of all answers hold beside the result."""
        return []


_ADDITIONS: list[ReportAddition] = []


def register(addition: ReportAddition) -> None:
    _ADDITIONS.append(addition)


def sections(evaluation: Evaluation) -> list[Section]:
    return [one for addition in _ADDITIONS for one in addition.sections(evaluation)]


def opinions(evaluation: Evaluation) -> list[OtherOpinion]:
    return [one for addition in _ADDITIONS for one in addition.opinions(evaluation)]

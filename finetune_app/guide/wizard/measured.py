"""What was measured here about the methods: evidence goes before what the answers suggest."""

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from finetune_app.candidates.models import CandidateKind
from finetune_app.evaluation.method_table import method_table_context
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.trivial_baselines import trivial_rows
from finetune_app.evaluation.verdict.types import BETTER_LEVELS, StoredVerdict
from finetune_app.goals.models import Goal, Method

METHOD_OF = {
    CandidateKind.PROMPT: Method.PROMPT,
    CandidateKind.RAG: Method.RAG,
    CandidateKind.TUNED: Method.FINE_TUNE,
    CandidateKind.COMBINED: Method.RAG_THEN_FINE_TUNE,
}


@dataclass(frozen=True)
class Measured:
    """The newest finished evaluation of a goal that is no recheck.

    `results` are names with scores, `sentence` what follows from them. `method` is the one that
    proved best, None where none did: `trivial` where that is because an answer that needs no model
    does as well. `conclusive`: whether that could not be chance. `tested` are all methods that took
    part.
    """

    evaluation: Evaluation
    at: datetime
    results: list[tuple[str, str]]
    sentence: str
    method: Method | None
    trivial: bool
    conclusive: bool
    tested: set[Method]


def measured(goal: Goal) -> Measured | None:
    """None before an evaluation has a verdict."""
    tests = goal.evaluations.succeeded().without_rechecks()
    evaluation = tests.exclude(verdict={}).with_details().first()
    if evaluation is None:
        return None
    verdict: StoredVerdict = evaluation.verdict
    evaluation.read_answers()
    candidates = evaluation.candidates()
    table = method_table_context(evaluation)
    recommendation = table.get("recommendation")
    results = [(row.label, row.right) for row in table.get("methods", [])]
    results += [(row.label, row.result) for row in trivial_rows(evaluation)[:1]]
    if recommendation:
        sentence, at = recommendation.sentence, recommendation.chosen
        kind = candidates[at].kind if at >= 0 else CandidateKind.BASE
        trivial = recommendation.found == "trivial"
    else:
        sentence = f"{verdict['headline']} {verdict['sentence']}"
        better = verdict["level"] in BETTER_LEVELS
        kind = evaluation.ours.kind if better else CandidateKind.BASE
        trivial = verdict["level"] == "not_better_than_trivial"
    return Measured(
        evaluation=evaluation,
        at=evaluation.job.ended_at or evaluation.created_at,
        results=results,
        sentence=sentence,
        method=METHOD_OF.get(CandidateKind(kind)),
        trivial=trivial,
        conclusive=verdict["level"] != "too_few_to_tell"
        and not verdict.get("held_back")
        and not (recommendation and recommendation.found == "too_close"),
        tested={METHOD_OF[CandidateKind(one.kind)] for one in candidates if one.kind in METHOD_OF},
    )


def headline(found: Measured) -> str:
    """The letter's headline where the measurement disagrees with the advice."""
    if found.trivial:
        return _("Measured here: nothing beats an answer that needs no model.")
    if found.method is None:
        return _("Measured here: nothing is better than the base model.")
    return _("Measured here: %(method)s.") % {"method": str(found.method.label).lower()}

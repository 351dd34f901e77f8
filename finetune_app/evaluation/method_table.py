"""The table that compares methods: quality, speed, effort to set up, and cost to run."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.candidates.models import EFFORT, Candidate, CandidateKind
from finetune_app.core.templatetags.ui import duration
from finetune_app.evaluation.models import Answer, Evaluation
from finetune_app.evaluation.outcomes import paired_outcome, trivial_answers_of
from finetune_app.evaluation.presenters import label_of
from finetune_app.evaluation.recommendation import (
    MethodScores,
    Recommendation,
    held_back,
    recommend,
)
from finetune_app.evaluation.trivial_baselines import trivial_scores
from finetune_app.evaluation.verdict.statistics import paired_bootstrap, split_of, wilson

MIN_CANDIDATES = 3  # with two, the verdict is enough
COST_ANSWERS = 1_000  # the cost of running is that of so many answers
NAMES = {
    CandidateKind.BASE: "the base model as it is",
    CandidateKind.PROMPT: "a good prompt",
    CandidateKind.RAG: "searching your documents",
    CandidateKind.TUNED: "fine-tuning",
    CandidateKind.COMBINED: "fine-tuning with your documents",
}


@dataclass(frozen=True)
class MethodRow:
    """One method, as text for the page. `against` is None for the base itself."""

    label: str
    ours: bool
    chosen: bool
    right: str
    interval: str
    against: tuple[int, int] | None  # better and worse than the base, in prompts
    seconds: str
    tokens: str
    make: str
    run: str
    needs: str


def method_table_context(evaluation: Evaluation) -> dict[str, Any]:
    """The rows and the recommendation; empty below three candidates, or where a person decides."""
    candidates = evaluation.candidates()
    measure = evaluation.get_measure()
    if len(candidates) < MIN_CANDIDATES or measure.needs_person:
        return {}
    answers = _answered_by_all(evaluation.answers.all().by_candidate(), candidates)
    groups = evaluation.groups
    scores = [_scores(one, answers[one.pk], measure.graded, groups) for one in candidates]
    shared = {one.index for one in answers[evaluation.base_id]}
    trivial = [
        trivial_scores(name, [given[index] for index in sorted(shared)], measure.graded)
        for name, given in trivial_answers_of(evaluation).items()
        if shared <= given.keys()
    ]
    recommendation = recommend(scores, trivial, evaluation.looks)
    if evaluation.verdict.get("held_back"):
        recommendation = held_back(recommendation)
    return {
        "recommendation": recommendation,
        "methods": [
            _row(evaluation, one, mine, answers, recommendation, at)
            for at, (one, mine) in enumerate(zip(candidates, scores, strict=True))
        ],
    }


def _answered_by_all(
    answers: dict[tuple[int, int], Answer], candidates: list[Candidate]
) -> dict[int, list[Answer]]:
    """Each candidate's answers to the prompts that all have answered, in the same order."""
    indexes = sorted({index for _candidate, index in answers})
    shared = [i for i in indexes if all((one.pk, i) in answers for one in candidates)]
    return {one.pk: [answers[one.pk, i] for i in shared] for one in candidates}


def _scores(
    candidate: Candidate, answers: list[Answer], graded: bool, groups: Mapping[int, str]
) -> MethodScores:
    return MethodScores(
        name=candidate.name if candidate.is_remote else NAMES[CandidateKind(candidate.kind)],
        # Remote models come last: each answer costs money, and the prompts leave this machine.
        effort=(int(candidate.is_remote), EFFORT[candidate.kind]),
        scores=tuple((one.score or 0.0) if graded else float(bool(one.passed)) for one in answers),
        graded=graded,
        groups=tuple(groups.get(one.index) for one in answers),
    )


def _row(
    evaluation: Evaluation,
    candidate: Candidate,
    scores: MethodScores,
    answers: dict[int, list[Answer]],
    recommendation: Recommendation | None,
    at: int,
) -> MethodRow:
    mine = answers[candidate.pk]
    base = None if candidate == evaluation.base else answers[evaluation.base_id]
    seconds = _seconds(evaluation, candidate, mine)
    return MethodRow(
        label=label_of(candidate),
        ours=candidate == evaluation.ours,
        chosen=recommendation is not None and recommendation.chosen == at,
        right=scores.result,
        interval=_interval(scores),
        against=_against(base, mine, scores.graded) if base else None,
        seconds=_("%(n).1f s") % {"n": seconds} if seconds else _("not measured"),
        tokens=_tokens(mine),
        make=_setup_effort(candidate),
        run=_running_cost(candidate, mine, seconds),
        needs=_needs(candidate),
    )


def _interval(scores: MethodScores) -> str:
    """The 95 % interval of `right`."""
    if scores.graded:
        low, high = (100 * end for end in paired_bootstrap(scores.scores, scores.groups))
    else:
        n = len(scores.scores)
        low, high = (n * end for end in wilson(int(sum(scores.scores)), n))
    return _("%(low).0f to %(high).0f") % {"low": low, "high": high}


def _against(base: list[Answer], mine: list[Answer], graded: bool) -> tuple[int, int]:
    split = split_of(
        [paired_outcome(a, b, graded=graded).sign for a, b in zip(base, mine, strict=True)]
    )
    return split.wins, split.losses


def _seconds(evaluation: Evaluation, candidate: Candidate, answers: list[Answer]) -> float | None:
    """Latency of one answer in a batch of one; in a larger batch, each takes as long as all."""
    if candidate.is_remote:
        times = [one.seconds for one in answers if not one.refused]
        return median(times) if times else None
    alone: float | None = evaluation.latency_seconds.get(str(candidate.pk))
    return alone


def _tokens(answers: list[Answer]) -> str:
    asked = [one for one in answers if not one.refused]
    if not asked:
        return ""
    return _("%(read).0f read, %(written).0f written") % {
        "read": fmean(one.prompt_tokens for one in asked),
        "written": fmean(one.tokens for one in asked),
    }


def _setup_effort(candidate: Candidate) -> str:
    parts = []
    if candidate.kind == CandidateKind.PROMPT:
        parts.append(_("A few minutes of writing"))
    if candidate.knowledge:
        documents = candidate.knowledge.documents.count()
        parts.append(
            ngettext("%(n)d document, read once", "%(n)d documents, read once", documents)
            % {"n": documents}
        )
    if candidate.training:
        training = candidate.training
        parts.append(
            _("%(n)d examples, %(time)s of training")
            % {
                "n": training.version.counts.get("train", 0),
                "time": duration(training.job.result.get("seconds") or 0),
            }
        )
    return ", ".join(parts) or _("Nothing")


def _running_cost(candidate: Candidate, answers: list[Answer], seconds: float | None) -> str:
    """The cost of 1,000 answers: time on this machine, or money for a remote model."""
    if not candidate.endpoint:
        return (
            _("%(time)s on this machine") % {"time": duration(COST_ANSWERS * seconds)}
            if seconds
            else _("not measured")
        )
    prices = candidate.endpoint.price_in, candidate.endpoint.price_out
    asked = [one for one in answers if not one.refused]
    if prices[0] is None or prices[1] is None or not asked:
        return _("price not set")
    millionth = fmean(
        one.prompt_tokens * float(prices[0]) + one.tokens * float(prices[1]) for one in asked
    )
    return f"{COST_ANSWERS * millionth / 1e6:,.2f}"


def _needs(candidate: Candidate) -> str:
    parts = []
    if candidate.is_remote:
        parts.append(_("A key; prompts leave this machine"))
    elif candidate.kind == CandidateKind.PROMPT:
        parts.append(_("A longer prompt each time"))
    if candidate.knowledge_id:
        parts.append(_("A search each time"))
    if candidate.training:
        parts.append(_("Its own model") if candidate.training.is_full else _("Its adapter"))
    return ", ".join(parts) or _("Nothing")

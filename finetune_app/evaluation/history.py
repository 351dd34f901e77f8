"""All tested candidates of a goal on the prompts they share: the best so far, and what changed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from django.db.models import F
from django.db.models.functions import MD5
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from finetune_app.candidates.differences import differences, rounding
from finetune_app.candidates.models import Candidate
from finetune_app.core import charts
from finetune_app.core.charts import Whisker
from finetune_app.evaluation.models import Answer, Comparison, Evaluation
from finetune_app.evaluation.presenters import label_of
from finetune_app.evaluation.verdict.statistics import Interval, paired_bootstrap, wilson
from finetune_app.goals.models import Goal, MeasureKind
from finetune_app.training.changes import changes

MAX_TESTED = 30  # on one page, the newest
FLATTERED_FROM = 3  # from so many tested candidates on, the best one is probably lucky, too

NOT_SHOWN = ("test_rows", "general", "refusals", "recall", "latency_seconds")

# A row as it was asked: its id, and a fingerprint of the prompt and the wanted answer, which may
# have been corrected between two versions; 0 where all tests are of one version.
Asked = tuple[int, int]
Scores = dict[Asked, float]  # 0 to 1
Texts = dict[tuple[int, int], int]  # evaluation, index of the prompt -> fingerprint


class Facts(NamedTuple):
    """Fields of an answer that tell its score. at: the index of its prompt."""

    at: int
    row: int
    passed: bool | None
    score: float | None


FACTS = ("index", "row", "passed", "score")  # `Facts` in the database


@dataclass(frozen=True)
class HistoryEntry:
    """A candidate and its newest evaluation. `score` counts the prompts that it gets right, or is
    in points of 100 where answers are graded. `changes`: from the one that was tested before."""

    evaluation: Evaluation
    label: str
    changes: list[str]
    score: float
    interval: Interval


def history_context(goal: Goal) -> dict[str, Any]:
    """The tested candidates, the newest first, and their chart; without any, why."""
    evaluations = _evaluations(goal)
    texts = _texts(evaluations)
    scores = _scores_of_ours(evaluations, texts)
    comparable = _comparable(scores)
    evaluations = [evaluations[at] for at in comparable]
    scores = [scores[at] for at in comparable]
    rows = sorted(set.intersection(*(set(one) for one in scores))) if scores else []
    if not rows:
        return {"tested": [], "needs_person": goal.measure == MeasureKind.CHOICE}
    graded = evaluations[-1].get_measure().graded
    tested = [
        _tested(evaluation, before, [mine[row] for row in rows], graded)
        for evaluation, before, mine in zip(evaluations, [None, *evaluations], scores, strict=False)
    ]
    best = max(tested, key=lambda one: one.score)
    base = evaluations[-1].base
    of_base = _scores_of_base(evaluations[-1], texts)
    return {
        "tested": tested[::-1],
        "best": best,
        "prompts": len(rows),
        "graded": graded,
        "chart": _chart(tested, best, base, [of_base.get(row, 0.0) for row in rows], graded),
        "flattered": len(tested) >= FLATTERED_FROM,
    }


def _evaluations(goal: Goal) -> list[Evaluation]:
    """Of each tested candidate the newest evaluation by the goal's measure, the oldest first."""
    concluded = (
        goal.evaluations.succeeded()
        .without_rechecks()
        .filter(measure=goal.measure, measure_settings=goal.measure_settings)
        .exclude(measure=MeasureKind.CHOICE)
    )
    newest: dict[int, int] = {}
    for pk, candidate in concluded.values_list("pk", "ours")[: 3 * MAX_TESTED]:
        newest.setdefault(candidate, pk)
    chosen = goal.evaluations.filter(pk__in=list(newest.values())[:MAX_TESTED])
    return list(chosen.with_details().defer(*NOT_SHOWN).order_by("pk"))


def _texts(evaluations: Sequence[Evaluation]) -> Texts:
    """Empty where all are of one version, in which nothing changes."""
    if len({one.version_id for one in evaluations}) < 2:
        return {}
    asked = Comparison.objects.filter(evaluation__in=evaluations).order_by()
    hashed = asked.values_list("evaluation", "index", MD5("prompt"), MD5("wanted"))
    return {(pk, index): hash(tuple(of_texts)) for pk, index, *of_texts in hashed.iterator(2_000)}


def _scores_of_ours(evaluations: Sequence[Evaluation], texts: Texts) -> list[Scores]:
    """Of each the scores of the candidate that it tests. All have the goal's measure."""
    ours = Answer.objects.filter(
        evaluation__in=evaluations, candidate=F("evaluation__ours")
    ).order_by()
    found: dict[int, list[Facts]] = defaultdict(list)
    for pk, *facts in ours.values_list("evaluation", *FACTS).iterator(2_000):
        found[pk].append(Facts(*facts))
    return [_scores(one, found[one.pk], texts) for one in evaluations]


def _scores_of_base(evaluation: Evaluation, texts: Texts) -> Scores:
    answers = evaluation.answers.filter(candidate=evaluation.base).order_by()
    return _scores(evaluation, map(Facts._make, answers.values_list(*FACTS)), texts)


def _scores(evaluation: Evaluation, answers: Iterable[Facts], texts: Texts) -> Scores:
    graded = evaluation.get_measure().graded
    found: Scores = {}
    for one in answers:
        if one.passed is not None:
            asked = (one.row, texts.get((evaluation.pk, one.at), 0))
            found[asked] = (one.score or 0.0) if graded else float(one.passed)
    return found


def _comparable(scores: Sequence[Scores]) -> list[int]:
    """The indexes of those that share at least half of the newest one's prompts."""
    if not scores:
        return []
    newest = scores[-1].keys()
    return [at for at, one in enumerate(scores) if newest and 2 * len(newest & one) >= len(newest)]


def _tested(
    evaluation: Evaluation, before: Evaluation | None, scores: list[float], graded: bool
) -> HistoryEntry:
    score, interval = _with_interval(scores, graded)
    return HistoryEntry(
        evaluation=evaluation,
        label=_label(evaluation.ours),
        changes=_changes(before.ours, evaluation.ours) if before else [],
        score=score,
        interval=interval,
    )


def _with_interval(scores: list[float], graded: bool) -> tuple[float, Interval]:
    if graded:
        low, high = paired_bootstrap(scores)
        return 100 * fmean(scores), Interval(100 * low, 100 * high)
    right, total = int(sum(scores)), len(scores)
    low, high = wilson(right, total)
    return right, Interval(round(low * total), round(high * total))


def _label(candidate: Candidate) -> str:
    name = candidate.name if candidate.saved else label_of(candidate)
    if candidate.training:
        name = capfirst(candidate.training_name)
    return _("%(name)s, in 8 bits") % {"name": name} if candidate.in_8_bits else name


def _changes(before: Candidate, after: Candidate) -> list[str]:
    if before.training and after.training and before.training_id != after.training_id:
        found = changes(before.training, after.training) or [_("Trained again in the same way")]
        return found + rounding(before, after)
    return differences(before, after)


def _chart(
    tested: Sequence[HistoryEntry],
    best: HistoryEntry,
    base: Candidate,
    of_base: list[float],
    graded: bool,
) -> str:
    score, interval = _with_interval(of_base, graded)
    rows = [Whisker(_label(base), score, *interval)]
    rows += [Whisker(one.label, one.score, *one.interval, ours=one is best) for one in tested]
    return charts.whiskers(rows, 100 if graded else len(of_base))

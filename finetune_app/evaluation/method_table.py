"""The ways side by side: how good, how steady, how fast, what each took and takes."""

from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.candidates.models import EFFORT, Candidate, CandidateKind
from finetune_app.core.templatetags.ui import duration
from finetune_app.evaluation.models import Answer, Evaluation
from finetune_app.evaluation.presenters import label_of
from finetune_app.evaluation.recommendation import Conclusion, Standing, conclude
from finetune_app.evaluation.services import answers_of, outcome_of, participants
from finetune_app.evaluation.statistics import paired_bootstrap, split_of, wilson
from finetune_app.goals.measures import get_measure

FEWEST = 3  # with two, the verdict says it all
ANSWERS = 1_000  # what it costs to run is said for so many
KIND = CandidateKind
NAMES = {
    KIND.BASE: "the base model as it is",
    KIND.PROMPT: "a good prompt",
    KIND.RAG: "searching your documents",
    KIND.TUNED: "fine-tuning",
    KIND.COMBINED: "fine-tuning with your documents",
}


@dataclass(frozen=True)
class Row:
    """One way, in words for the page. `against` is None for the base itself."""

    label: str
    ours: bool
    chosen: bool
    right: str
    span: str
    against: tuple[int, int] | None  # better and worse than the base, in prompts
    seconds: str
    tokens: str
    make: str
    run: str
    needs: str


def method_table_context(evaluation: Evaluation) -> dict[str, Any]:
    """{"methods": rows, "conclusion": what follows}; nothing where there are but two."""
    taking_part = participants(evaluation)
    measure = get_measure(evaluation.measure, evaluation.measure_settings)
    if len(taking_part) < FEWEST or measure.needs_person:
        return {}
    answers = _complete(answers_of(evaluation), taking_part)
    standings = [_standing(one, answers[one.pk], measure.graded) for one in taking_part]
    conclusion = conclude(standings)
    return {
        "conclusion": conclusion,
        "methods": [
            _row(evaluation, one, standing, answers, conclusion, at)
            for at, (one, standing) in enumerate(zip(taking_part, standings, strict=True))
        ],
    }


def _complete(
    answers: dict[tuple[int, int], Answer], taking_part: list[Candidate]
) -> dict[int, list[Answer]]:
    """Each one's answers to the prompts that all have answered, in the same order."""
    indexes = sorted({index for _of, index in answers})
    shared = [i for i in indexes if all((one.pk, i) in answers for one in taking_part)]
    return {one.pk: [answers[one.pk, i] for i in shared] for one in taking_part}


def _standing(candidate: Candidate, answers: list[Answer], graded: bool) -> Standing:
    return Standing(
        name=candidate.name if candidate.is_remote else NAMES[KIND(candidate.kind)],
        # A model elsewhere comes last: it costs each time, and the prompts leave this machine.
        effort=(int(candidate.is_remote), EFFORT[candidate.kind]),
        scores=tuple((one.score or 0.0) if graded else float(bool(one.passed)) for one in answers),
        graded=graded,
    )


def _row(
    evaluation: Evaluation,
    candidate: Candidate,
    standing: Standing,
    answers: dict[int, list[Answer]],
    conclusion: Conclusion | None,
    at: int,
) -> Row:
    mine = answers[candidate.pk]
    base = None if candidate == evaluation.base else answers[evaluation.base_id]
    seconds = _seconds(evaluation, candidate, mine)
    return Row(
        label=label_of(candidate),
        ours=candidate == evaluation.ours,
        chosen=conclusion is not None and conclusion.chosen == at,
        right=standing.result,
        span=_span(standing),
        against=_against(base, mine, standing.graded) if base else None,
        seconds=_("%(n).1f s") % {"n": seconds} if seconds else _("not measured"),
        tokens=_tokens(mine),
        make=_to_make(candidate),
        run=_to_run(candidate, mine, seconds),
        needs=_needs(candidate),
    )


def _span(standing: Standing) -> str:
    """Where the true number probably lies."""
    if standing.graded:
        low, high = (100 * end for end in paired_bootstrap(standing.scores))
    else:
        n = len(standing.scores)
        low, high = (n * end for end in wilson(int(sum(standing.scores)), n))
    return _("%(low).0f to %(high).0f") % {"low": low, "high": high}


def _against(base: list[Answer], mine: list[Answer], graded: bool) -> tuple[int, int]:
    split = split_of(
        [outcome_of(a, b, graded=graded).sign for a, b in zip(base, mine, strict=True)]
    )
    return split.wins, split.losses


def _seconds(evaluation: Evaluation, candidate: Candidate, answers: list[Answer]) -> float | None:
    """For one answer, asked alone. In a batch each row's time is that of the whole batch."""
    if candidate.is_remote:
        times = [one.seconds for one in answers if not one.refused]
        return median(times) if times else None
    return evaluation.latency_seconds.get(str(candidate.pk))


def _tokens(answers: list[Answer]) -> str:
    told = [one for one in answers if not one.refused]
    if not told:
        return ""
    return _("%(read).0f read, %(written).0f written") % {
        "read": fmean(one.prompt_tokens for one in told),
        "written": fmean(one.tokens for one in told),
    }


def _to_make(candidate: Candidate) -> str:
    parts = []
    if candidate.kind == KIND.PROMPT:
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


def _to_run(candidate: Candidate, answers: list[Answer], seconds: float | None) -> str:
    """What 1,000 answers cost: time of this machine, or money elsewhere ("not set", never 0)."""
    if not candidate.endpoint:
        return (
            _("%(time)s of this machine") % {"time": duration(ANSWERS * seconds)}
            if (seconds)
            else _("not measured")
        )
    prices = candidate.endpoint.price_in, candidate.endpoint.price_out
    told = [one for one in answers if not one.refused]
    if prices[0] is None or prices[1] is None or not told:
        return _("price not set")
    millionth = fmean(
        one.prompt_tokens * float(prices[0]) + one.tokens * float(prices[1]) for one in told
    )
    return f"{ANSWERS * millionth / 1e6:,.2f}"


def _needs(candidate: Candidate) -> str:
    parts = []
    if candidate.is_remote:
        parts.append(_("A key; prompts leave this machine"))
    elif candidate.kind == KIND.PROMPT:
        parts.append(_("A longer prompt each time"))
    if candidate.knowledge_id:
        parts.append(_("A search each time"))
    if candidate.training_id:
        parts.append(_("Its adapter"))
    return ", ".join(parts) or _("Nothing")

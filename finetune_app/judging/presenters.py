"""Context of the pages of a second opinion."""

from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from finetune_app.core import charts
from finetune_app.core.templatetags.ui import duration, percent
from finetune_app.evaluation.models import Comparison
from finetune_app.evaluation.services import ours_in_sentences
from finetune_app.evaluation.verdict import sentences
from finetune_app.jobs.models import State
from finetune_app.jobs.presenters import waiting_facts, waiting_headline
from finetune_app.judging import grading, opinion_text, services
from finetune_app.judging.calibration import agreement_with_people, given_choices
from finetune_app.judging.grading import Share, Side
from finetune_app.judging.job_messages import ControlKind
from finetune_app.judging.limits import MIN_ORDER_AGREEMENT
from finetune_app.judging.models import JudgeRun

PAGE_SIZE = 25
OUTCOMES: dict[Side | None, str] = {"first": "worse", "tie": "same", "second": "better"}


@dataclass(frozen=True)
class Opinion:
    """A run in a few lines. `trust` and `people` are empty for a judge that did not pass."""

    run: JudgeRun
    headline: str
    sentence: str
    passed: bool
    trust: str = ""
    people: str = ""


@dataclass(frozen=True)
class Check:
    """What a judge has to pass, and how it did."""

    label: str
    counts: str
    interval: str
    passed: bool


@dataclass(frozen=True)
class JudgedPrompt:
    """A prompt with what the judge and the evaluation found: better, same, worse, open."""

    comparison: Comparison
    judged: str


def opinion_of(run: JudgeRun) -> Opinion:
    """Of a run that is done."""
    judgement = services.judgement_of(run)
    ours = ours_in_sentences(run.evaluation)
    text = opinion_text.opinion_text(judgement, ours, significant=services.is_significant(run))
    if judgement.bias:
        return Opinion(run, text.headline, text.sentence, passed=False)
    return Opinion(
        run,
        text.headline,
        text.sentence,
        passed=True,
        trust=opinion_text.trust_text(judgement),
        people=opinion_text.people_text(agreement_with_people(run)),
    )


def progress_context(run: JudgeRun) -> dict[str, Any]:
    """Context of the page while the job runs, or where it did not end."""
    job = run.job
    facts = waiting_facts(job)
    if job.total:
        facts.append(_("%(done)d of %(total)d questions") % {"done": job.done, "total": job.total})
    return {
        "headline": _headline(run),
        "facts": facts,
        "bar": charts.bar(job.done, job.total),
    }


def _headline(run: JudgeRun) -> str:
    job = run.job
    if job.state == State.QUEUED:
        return waiting_headline(job)
    if job.state == State.STOPPED:
        return _("Stopped")
    if job.state == State.FAILED:
        return _("It could not continue")
    if job.seconds_left is None:
        return job.message or _("Getting ready")
    return _("About %(time)s left") % {"time": duration(job.seconds_left)}


def opinion_context(run: JudgeRun, after: int) -> dict[str, Any]:
    """Context of the page once the job is done; the prompts start after the index `after`."""
    judgement = services.judgement_of(run)
    context: dict[str, Any] = {"opinion": opinion_of(run), "checks": _checks(run)}
    if judgement.split is None:
        return context
    wins, _ties, losses = judgement.split
    return (
        context
        | {
            "marks": _marks(run),
            "rarity": sentences.rarity(run.result["p_value"], wins + losses),
        }
        | _prompts_context(run, after)
    )


def _marks(run: JudgeRun) -> SafeString:
    wins, ties, losses = services.judgement_of(run).split or (0, 0, 0)
    return charts.verdict_marks(wins, ties, losses)


def _checks(run: JudgeRun) -> list[Check]:
    """Whether both orders agreed, and where they did, each kind of control pair."""
    judgement = services.judgement_of(run)
    orders = judgement.orders
    agreed = orders.value >= MIN_ORDER_AGREEMENT
    found = [_check(_("Both orders gave the same answer"), orders, agreed)]
    if judgement.bias in ("no_answer", *opinion_text.ORDER_HEADLINES):
        return found
    labels = _control_labels(ours_in_sentences(run.evaluation))
    return found + [
        _check(labels[kind], share, grading.passes(share))
        for kind, share in judgement.controls.items()
    ]


def _control_labels(ours: str) -> dict[ControlKind, str]:
    return {
        "longer": _("Right, though the wrong answer is longer"),
        "shorter": _("Right, though the wrong answer is no longer"),
        "padded": _("Not won over by polite filler or by saying it twice"),
        "base_style": _("The wanted answer over a wrong one of the base model"),
        "ours_style": _("The wanted answer over a wrong one of %(ours)s") % {"ours": ours},
    }


def _check(label: str, share: Share, passed: bool) -> Check:
    low, high = share.interval
    return Check(
        label,
        _("%(part)d of %(whole)d") % {"part": share.part, "whole": share.whole},
        _("%(low)s to %(high)s") % {"low": percent(low), "high": percent(high)},
        passed,
    )


def outcomes_of(run: JudgeRun) -> dict[int, str]:
    """What it found on each prompt, by index: better, same, worse, or open where it gave no usable
    answer. Answers that are the same were not asked about, and are a tie."""
    judged = grading.judged_pairs(given_choices(run))
    return {
        index: OUTCOMES.get(judged["answers", index].side, "open")
        if ("answers", index) in judged
        else "same"
        for index in run.evaluation.comparisons.values_list("index", flat=True)
    }


def _prompts_context(run: JudgeRun, after: int) -> dict[str, Any]:
    outcomes = outcomes_of(run)
    rows = list(run.evaluation.comparisons.filter(index__gt=after)[: PAGE_SIZE + 1])
    page, more = rows[:PAGE_SIZE], len(rows) > PAGE_SIZE
    prompts = [JudgedPrompt(row, outcomes[row.index]) for row in page]
    return {"prompts": prompts, "next_after": page[-1].index if more else None}

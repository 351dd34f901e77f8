"""Context of the evaluation pages: progress, the verdict, the answers side by side."""

from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean
from typing import Any, TypedDict

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from finetune_app.candidates.models import Candidate
from finetune_app.core import charts
from finetune_app.core.charts import Whisker
from finetune_app.core.templatetags.ui import duration
from finetune_app.evaluation.job_messages import CitedPassage, GeneralCheckResult
from finetune_app.evaluation.models import Answer, Comparison, Evaluation
from finetune_app.evaluation.safety import safety_notes
from finetune_app.evaluation.services import ours_in_sentences
from finetune_app.evaluation.trivial_baselines import trivial_rows
from finetune_app.evaluation.verdict import sentences
from finetune_app.evaluation.verdict.statistics import paired_bootstrap, wilson
from finetune_app.evaluation.verdict.types import BETTER_LEVELS, StoredVerdict, TrivialResult
from finetune_app.goals.models import MeasureKind
from finetune_app.goals.presenters import PresentedAnswer, present_answer
from finetune_app.jobs.models import Job, State
from finetune_app.jobs.presenters import waiting_facts, waiting_headline
from finetune_app.knowledge.models import Document

PAGE_SIZE = 25
MAX_OPEN_CHARACTERS = 160  # a longer answer is folded to three lines
MAX_EMPTY_MARKS = 600  # more empty marks would only shrink those of the answered prompts
EVERYDAY_SHOWN = 6  # answers of the general check on the page
Outcome = Comparison.Outcome


class ShownText(TypedDict):
    """A text on the page. `long`: it is folded."""

    shown: PresentedAnswer
    long: bool
    empty: bool


class CitedDocument(TypedDict):
    """A passage in the prompt, with the name of its document."""

    document: int
    name: str
    page: int
    at: int


class ShownAnswer(ShownText):
    """A candidate's answer. `cites` are the passages whose documents still exist."""

    answer: Answer
    cites: list[CitedDocument]


class OtherAnswer(TypedDict):
    """The answer of a candidate beside base and ours."""

    label: str
    shown: ShownAnswer | None


class ComparisonRow(TypedDict):
    """One test prompt with the answers to it. `small`: how the two answers are the same."""

    comparison: Comparison
    wanted: ShownText
    small: str
    base: ShownAnswer | None
    ours: ShownAnswer | None
    others: list[OtherAnswer]


class EverydayAnswers(TypedDict):
    """An everyday question of the general check, with the answers of base and tuned."""

    prompt: str
    base: ShownText
    tuned: ShownText


def progress_context(evaluation: Evaluation) -> dict[str, Any]:
    """Context of the page while the job runs."""
    job = evaluation.job
    facts = waiting_facts(job)
    if job.total:
        facts.append(_("%(done)d of %(total)d answers") % {"done": job.done, "total": job.total})
    return {
        "headline": job_headline(job),
        "facts": facts,
        "bar": charts.bar(job.done, job.total),
        "job": job,
    }


def job_headline(job: Job) -> str:
    """Where a job is: its place in the queue, the time left, or how it ended."""
    if job.state == State.QUEUED:
        return waiting_headline(job)
    if job.state == State.STOPPED:
        return _("Stopped")
    if job.state == State.FAILED:
        return _("It could not continue")
    left = job.seconds_left
    if left is None:
        return job.message or _("Getting ready")
    return (
        _("About %(time)s left") % {"time": duration(left)}
        if left >= 55
        else _("Less than a minute left")
    )


def verdict_context(evaluation: Evaluation, url: str) -> dict[str, Any]:
    """Context of the verdict: its text, one mark per prompt, and each candidate's score."""
    verdict: StoredVerdict = evaluation.verdict
    links = {word: f"{url}?outcome={word}#sides" for word in ("better", "same", "worse")}
    rows = score_rows(evaluation)
    axis = 100 if evaluation.get_measure().graded else evaluation.comparisons.count()
    return {
        "verdict": verdict,
        "marks": charts.verdict_marks(
            verdict["wins"],
            verdict["ties"],
            verdict["losses"],
            urls=links,
            needed=prompts_needed(verdict),
        ),
        "better": verdict["level"] in BETTER_LEVELS,
        "prompt_note": _prompt_note(verdict),
        "prompt_does_it": _prompt_does_it(evaluation),
        "notes": _other_notes(evaluation),
        "trivial_note": _trivial_note(evaluation),
        "trivial_rows": trivial_rows(evaluation),
        "everyday": _everyday(evaluation.general),
        "score_rows": rows,
        "scores": charts.whiskers(rows, axis) if rows else "",
        "total": verdict["wins"] + verdict["ties"] + verdict["losses"],
        "general": evaluation.general,
        "lengths": _lengths(evaluation),
        "looks_rule": sentences.looks_rule(evaluation.looks),
    }


def prompts_needed(verdict: StoredVerdict) -> int:
    """How many more prompts would settle it; 0 if too many to draw."""
    needed = verdict["more_prompts_needed"] or 0
    return needed if needed <= MAX_EMPTY_MARKS else 0


def _prompt_note(verdict: StoredVerdict) -> str:
    """The comparison with the base model given a good prompt; always the first note."""
    return verdict["notes"][0] if verdict["versus_prompt"] and verdict["notes"] else ""


def _prompt_does_it(evaluation: Evaluation) -> bool:
    """Whether the base model with a good prompt gets most prompts right."""
    prompt = evaluation.prompt_baseline()
    right = sum(bool(one.passed) for one in evaluation.answers_of(prompt)) if prompt else 0
    return 2 * right > evaluation.comparisons.count() > 0


def _other_notes(evaluation: Evaluation) -> list[str]:
    """The notes that the page does not show elsewhere."""
    verdict: StoredVerdict = evaluation.verdict
    elsewhere = {
        _prompt_note(verdict),
        _trivial_note(evaluation),
        sentences.general_note(evaluation.general.get("level"), verdict["level"] in BETTER_LEVELS),
        sentences.looks_note(evaluation.looks, "prompts"),
        *safety_notes(evaluation),
    }
    return [note for note in verdict["notes"] if note not in elsewhere]


def _trivial_note(evaluation: Evaluation) -> str:
    """The comparison with answers that need no model, where ours does not beat them."""
    verdict: StoredVerdict = evaluation.verdict
    trivial = verdict.get("trivial")
    if not trivial or trivial["versus"] == "better":
        return ""
    return sentences.trivial_note(TrivialResult(**trivial), ours_in_sentences(evaluation))


def _everyday(general: GeneralCheckResult) -> list[EverydayAnswers]:
    answers = general.get("answers") or []
    questions = answers[general.get("instructions") or 0 :] or answers
    return [
        {"prompt": one["prompt"], "base": as_shown(one["base"]), "tuned": as_shown(one["tuned"])}
        for one in questions[:EVERYDAY_SHOWN]
    ]


def score_rows(evaluation: Evaluation) -> list[Whisker]:
    """Each candidate's score with its 95 % interval; none where a person decides."""
    if evaluation.needs_person:
        return []
    total, graded = evaluation.comparisons.count(), evaluation.get_measure().graded
    judged: dict[int, list[tuple[bool, float]]] = defaultdict(list)
    for one in evaluation.answers.all():
        if one.passed is not None:
            judged[one.candidate_id].append((one.passed, one.score or 0.0))
    return [
        _whisker(label, judged[candidate.pk], total, graded, ours=candidate == evaluation.ours)
        for candidate, label in _labelled(evaluation)
        if judged[candidate.pk]
    ]


def _whisker(
    label: str, judged: list[tuple[bool, float]], total: int, graded: bool, *, ours: bool
) -> Whisker:
    if graded:
        scores = [score for _passed, score in judged]
        low, high = _mean_range(scores)
        return Whisker(label, 100 * fmean(scores), 100 * low, 100 * high, ours=ours)
    right = sum(passed for passed, _score in judged)
    span = wilson(right, total)
    return Whisker(label, right, round(span.low * total), round(span.high * total), ours=ours)


def _mean_range(scores: list[float]) -> tuple[float, float]:
    span = paired_bootstrap(scores, range(len(scores)))
    return span.low, span.high


def _labelled(evaluation: Evaluation) -> list[tuple[Candidate, str]]:
    return [(one, label_of(one)) for one in evaluation.candidates()]


def label_of(candidate: Candidate) -> str:
    """The label of a candidate in a table; a remote one has its own name."""
    return candidate.name if candidate.is_remote else candidate.get_kind_display()


def _lengths(evaluation: Evaluation) -> dict[str, int] | None:
    """Mean number of words in an answer, of ours and of base."""
    counts = {}
    for name in ("base", "ours"):
        answers = evaluation.answers_of(getattr(evaluation, name))
        counts[name] = [len(one.text.split()) for one in answers]
    if not counts["base"] or not counts["ours"]:
        return None
    return {name: round(sum(found) / len(found)) for name, found in counts.items()}


def outcome_counts(evaluation: Evaluation) -> dict[str, int]:
    """The number of prompts per filter: all, better, same, worse, open."""
    return evaluation.comparisons.order_by().aggregate(
        all=Count("pk"), **{o.value: Count("pk", filter=Q(outcome=o)) for o in Outcome}
    )


def filters(found: dict[str, int]) -> list[tuple[str, str, int]]:
    """(outcome, label, count) of each filter; "not judged" only where there are any."""
    words = [
        ("", _("All"), found["all"]),
        ("better", _("Better"), found["better"]),
        ("same", _("Same"), found["same"]),
        ("worse", _("Worse"), found["worse"]),
    ]
    return [*words, ("open", _("Not judged"), found["open"])] if found["open"] else words


def filtered(evaluation: Evaluation, outcome: str, text: str) -> QuerySet[Comparison]:
    rows = evaluation.comparisons.all()
    if outcome in Outcome.values:
        rows = rows.filter(outcome=outcome)
    if text:
        inside = Answer.objects.filter(evaluation=evaluation, text__icontains=text)
        rows = rows.filter(
            Q(prompt__icontains=text)
            | Q(wanted__icontains=text)
            | Q(index__in=inside.values("index"))
        )
    return rows


def sides_context(evaluation: Evaluation, outcome: str, text: str, after: int) -> dict[str, Any]:
    """Context of one page of prompts with their answers, starting after the index `after`."""
    rows = filtered(evaluation, outcome, text)
    page = list(rows.filter(index__gt=after)[: PAGE_SIZE + 1])
    more = len(page) > PAGE_SIZE
    page = page[:PAGE_SIZE]
    answers = {
        (answer.candidate_id, answer.index): answer
        for answer in evaluation.answers.filter(index__in=[row.index for row in page])
    }
    others = [
        pair for pair in _labelled(evaluation) if pair[0] not in (evaluation.base, evaluation.ours)
    ]
    names = document_names(evaluation, answers.values())
    return {
        "ours_label": label_of(evaluation.ours),
        "rows": [_side_by_side(evaluation, row, answers, others, names) for row in page],
        "filters": filters(outcome_counts(evaluation)),
        "outcome": outcome,
        "q": text,
        "graded": evaluation.get_measure().graded,
        "found": rows.count(),
        "next_after": page[-1].index if more else None,
    }


def _side_by_side(
    evaluation: Evaluation,
    row: Comparison,
    answers: dict[tuple[int, int], Answer],
    others: list[tuple[Candidate, str]],
    document_names: dict[int, str],
) -> ComparisonRow:
    base = answers.get((evaluation.base_id, row.index))
    ours = answers.get((evaluation.ours_id, row.index))
    # Where a person decides, a difference from the wanted answer is not an error to mark.
    target = None if evaluation.measure == MeasureKind.CHOICE else row.wanted
    return {
        "comparison": row,
        "wanted": as_shown(row.wanted),
        "small": _tie_label(base, ours) if row.outcome == Outcome.SAME else "",
        "base": candidate_answer(base, target, document_names),
        "ours": candidate_answer(ours, target, document_names),
        "others": [
            {
                "label": label,
                "shown": candidate_answer(answers[one.pk, row.index], target, document_names),
            }
            for one, label in others
            if (one.pk, row.index) in answers
        ],
    }


def _tie_label(base: Answer | None, ours: Answer | None) -> str:
    if base is None or ours is None or base.passed is None:
        return ""
    if base.passed != ours.passed:  # graded, and within TIE_WITHIN of each other
        return _("as close")
    return _("both right") if base.passed else _("both wrong")


def candidate_answer(
    answer: Answer | None, wanted: str | None, document_names: dict[int, str]
) -> ShownAnswer | None:
    if answer is None:
        return None
    passages: list[CitedPassage] = answer.passages
    cites: list[CitedDocument] = [
        {**one, "name": document_names[one["document"]]}
        for one in passages
        if one["document"] in document_names
    ]
    return {"answer": answer, "cites": cites, **as_shown(answer.text, wanted)}


def document_names(evaluation: Evaluation, answers: Iterable[Answer]) -> dict[int, str]:
    """Document id -> name, for the documents that these answers cite."""
    seen = {one["document"] for answer in answers for one in answer.passages}
    if not seen:
        return {}
    documents = Document.objects.filter(knowledge__goal=evaluation.goal_id, pk__in=seen)
    return dict(documents.values_list("pk", "name"))


def as_shown(text: str, wanted: str | None = None) -> ShownText:
    """A text for components/answer.html; with `wanted`, what differs from it is marked."""
    return {
        "shown": present_answer(text, wanted),
        "long": len(text) > MAX_OPEN_CHARACTERS,
        "empty": not text.strip(),
    }

"""Starts evaluations, compares answers prompt by prompt, and stores verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, TypedDict

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.candidates.models import EFFORT, Candidate, CandidateKind
from finetune_app.core.engine_protocol import NF4
from finetune_app.core.errors import PlainError
from finetune_app.evaluation import looks
from finetune_app.evaluation.changed_prompts import (
    keep_results,
    results_on_changed_prompts,
)
from finetune_app.evaluation.job_messages import (
    AnswerEvent,
    TrivialAnswersEvent,
)
from finetune_app.evaluation.leakage import (
    LeftOut,
    left_out_notes,
    left_out_of,
    rows_to_ask,
)
from finetune_app.evaluation.models import (
    Answer,
    Comparison,
    Evaluation,
    TrivialAnswer,
)
from finetune_app.evaluation.outcomes import (
    OUTCOME_OF_SIGN,
    PromptResult,
    choices,
    outcomes,
    paired_outcome,
    results_of,
    trivial_names,
)
from finetune_app.evaluation.safety import safety_notes
from finetune_app.evaluation.verdict.computation import compute_verdict, held_to
from finetune_app.evaluation.verdict.types import Verdict
from finetune_app.goals.measures import Measure
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import CAN_CONTINUE
from finetune_app.jobs.worker_machines import some_have_a_card
from finetune_app.versions.models import Version

TRAINED = (CandidateKind.TUNED, CandidateKind.COMBINED)
NAMES_IN_SENTENCES: dict[str, str] = {
    CandidateKind.PROMPT: "the model with a good prompt",
    CandidateKind.RAG: "the model with your documents",
    CandidateKind.TUNED: "the tuned model",
    CandidateKind.COMBINED: "the tuned model with your documents",
}


class _VerdictContext(TypedDict):
    """The arguments of compute_verdict that do not depend on who judges."""

    general_level: str | None
    looks: int
    ours: str


def start(
    *,
    goal: Goal,
    version: Version,
    candidates: Sequence[Candidate],
    user: User | None,
    test_rows: Sequence[int] = (),
    must_be_new: bool = False,
) -> Evaluation:
    """Queue a test of these candidates on the version's test split, or only on `test_rows` of it;
    the first candidate is the base. What one of them has learned is not asked (leakage.py).

    The verdict is about the candidate with the most effort, among those that are tuned, or asked on
    this machine, first. While an evaluation is active, returns that one instead, or raises
    PlainError (409) if it `must_be_new`.

    Raises:
        PlainError: there is nothing to compare the base with, or no test prompt to ask.
    """
    if len(candidates) < 2:
        raise PlainError(
            _("There is nothing yet to compare the base model with."),
            title=_("Nothing to test yet"),
        )
    if not version.counts.get("test"):
        raise PlainError(
            _("This version has no test prompts. Keep some examples back and freeze again."),
            title=_("Nothing to test it on"),
        )
    if active := _active(goal, must_be_new):
        return active
    # Before the lock: it may read large files.
    left_out = left_out_of(version, candidates, test_rows)
    rows = rows_to_ask(version, test_rows, left_out)
    return _queue(goal, version, candidates, user, rows, left_out, must_be_new)


def _active(goal: Goal, must_be_new: bool) -> Evaluation | None:
    """The active one, if there is one. Raises PlainError if it `must_be_new`."""
    active = goal.evaluations.active().first()
    if active and must_be_new:
        under_way = _("A test of this goal is under way. Try again when it is done.")
        raise PlainError(under_way, status=409)
    return active


@transaction.atomic
def _queue(
    goal: Goal,
    version: Version,
    candidates: Sequence[Candidate],
    user: User | None,
    test_rows: list[int],
    left_out: LeftOut,
    must_be_new: bool,
) -> Evaluation:
    goal = Goal.objects.lock(goal.pk)
    if active := _active(goal, must_be_new):
        return active
    base, *others = candidates
    ours = max(others, key=_importance)
    in_4_bits = any(one.number_format == NF4 for one in candidates)
    job = jobs.create(
        team=goal.team,
        kind="evaluation",
        spec={"left_out": left_out.counts()},
        title=_title(ours),
        needs_card=in_4_bits and some_have_a_card(),
    )
    evaluation = Evaluation.objects.create(
        goal=goal,
        version=version,
        test_rows=test_rows,
        job=job,
        base=base,
        ours=ours,
        measure=goal.measure,
        measure_settings=goal.measure_settings,
        started_by=user,
        general=_general_before(ours),
    )
    evaluation.others.set([one for one in others if one != ours])
    evaluation.looks = looks.number_of(evaluation)
    evaluation.save(update_fields=["looks"])
    return evaluation


def _importance(candidate: Candidate) -> tuple[bool, int, bool]:
    """Whatever was tuned for the goal comes before a remote model as it is."""
    is_own = candidate.kind in TRAINED or not candidate.is_remote
    return is_own, EFFORT[candidate.kind], not candidate.is_remote


def _title(ours: Candidate) -> str:
    if ours.training:
        return _("Test of %(training)s") % {"training": ours.training_name}
    return _("Test of “%(name)s”") % {"name": ours.name}


def _general_before(ours: Candidate) -> Mapping[str, str]:
    """The result of the general check before, or instead of, the check."""
    if ours.kind not in TRAINED:
        sentence = _("The model itself was not changed, so it has forgotten nothing.")
        return {"level": "unchanged", "sentence": sentence}
    if ours.is_remote:
        return {
            "sentence": _("It answers elsewhere: what it has forgotten cannot be measured here.")
        }
    return {}


def find_finished(
    goal: Goal, version: Version, candidates: Sequence[Candidate]
) -> Evaluation | None:
    """The newest finished test of exactly these candidates on the version's whole test split, as
    far as it is fair, by the goal's current measure. No recheck."""
    tests = goal.evaluations.succeeded().without_rechecks()
    same = tests.filter(
        version=version,
        base=candidates[0],
        measure=goal.measure,
        measure_settings=goal.measure_settings,
    )
    wanted = {one.pk for one in candidates}
    return next(
        (
            found
            for found in same.select_related("job", "version")
            if not found.asks_fresh_only and {c.pk for c in found.candidates()} == wanted
        ),
        None,
    )


def resume(*, evaluation: Evaluation) -> None:
    """Answer the prompts that have no answer yet."""
    if evaluation.job.state not in CAN_CONTINUE:
        raise PlainError(_("This evaluation is not stopped, so there is nothing to continue."))
    jobs.ask_continue(evaluation.job)


def stop(*, evaluation: Evaluation) -> None:
    jobs.ask_stop(evaluation.job)


def delete(*, evaluation: Evaluation) -> None:
    evaluation.delete()


def store_comparisons(evaluation: Evaluation) -> None:
    """Pair the answers of base and ours, prompt by prompt. Idempotent."""
    answers = evaluation.answers.all().by_candidate()
    measure = evaluation.get_measure()
    decided: list[Comparison] = []
    undecided: list[Comparison] = []
    for prompt in evaluation.test_prompts():
        base = answers.get((evaluation.base_id, prompt.index))
        ours = answers.get((evaluation.ours_id, prompt.index))
        if base is None or ours is None:
            continue
        comparison = Comparison(
            evaluation=evaluation,
            index=prompt.index,
            prompt=prompt.prompt,
            wanted=prompt.wanted,
            group=prompt.group,
        )
        comparison.outcome = _outcome(measure, base, ours)
        is_open = comparison.outcome == Comparison.Outcome.OPEN
        (undecided if is_open else decided).append(comparison)
    _store(decided, ["prompt", "wanted", "group", "outcome"])
    _store(undecided, ["prompt", "wanted", "group"])  # votes write the outcome themselves


def _outcome(measure: Measure, base: Answer, ours: Answer) -> Comparison.Outcome:
    if not measure.needs_person:
        return OUTCOME_OF_SIGN[paired_outcome(base, ours, graded=measure.graded).sign]
    same = base.text.strip() == ours.text.strip()  # nobody is asked to choose
    return Comparison.Outcome.SAME if same else Comparison.Outcome.OPEN


def _store(comparisons: list[Comparison], columns: list[str]) -> None:
    """Insert them, or overwrite these columns of those that are there."""
    Comparison.objects.bulk_create(
        comparisons,
        update_conflicts=True,
        unique_fields=["evaluation", "index"],
        update_fields=columns,
    )


def store_verdict(evaluation: Evaluation) -> Verdict | None:
    """Compute and store the verdict from the decided comparisons; None without any, and until the
    votes are counted where people decide. The results are kept with the look."""
    if evaluation.hides_names:
        return None
    today = results_of(evaluation)
    if not today:
        return None
    keep_results(evaluation, today)
    verdict = _verdict(evaluation, today)
    if changed := results_on_changed_prompts(evaluation):
        verdict = held_to(verdict, _verdict(evaluation, [*today, *changed]), len(changed))
    others = (*safety_notes(evaluation), *left_out_notes(evaluation))
    verdict = replace(verdict, notes=(*verdict.notes, *others))
    evaluation.verdict = asdict(verdict)
    evaluation.save(update_fields=["verdict"])
    return verdict


def ours_in_sentences(evaluation: Evaluation) -> str:
    """ "the tuned model"; a saved candidate is named."""
    return NAMES_IN_SENTENCES.get(evaluation.ours.kind, f"“{evaluation.ours.name}”")


def _verdict(evaluation: Evaluation, results: list[PromptResult]) -> Verdict:
    """The verdict on these results, whatever the evaluation's own."""
    common: _VerdictContext = {
        "general_level": evaluation.general.get("level"),
        "looks": evaluation.looks,
        "ours": ours_in_sentences(evaluation),
    }
    if evaluation.needs_person:
        return compute_verdict(choices(results), voted=True, **common)
    ours, measure = evaluation.ours_id, evaluation.get_measure()
    against = partial(outcomes, results, ours, graded=measure.graded)
    baseline = evaluation.prompt_baseline()
    return compute_verdict(
        against(evaluation.base_id),
        trivial_results={name: against(name) for name in trivial_names(results)},
        prompt_result=against(baseline.pk) if baseline else None,
        wrong=_wrong(evaluation) if measure.tells_right else None,
        unasked=evaluation.answers.filter(candidate=baseline, refused=True).count()
        if baseline
        else 0,
        **common,
    )


def _wrong(evaluation: Evaluation) -> int:
    """How many prompts ours still gets wrong."""
    return sum(not one.passed for one in evaluation.answers_of(evaluation.ours))


def store_trivial_answers(evaluation: Evaluation, event: TrivialAnswersEvent) -> None:
    """Idempotent."""
    TrivialAnswer.objects.bulk_create(
        [
            TrivialAnswer(
                evaluation=evaluation,
                baseline=event["baseline"],
                index=one["index"],
                text=one["text"],
                passed=one["passed"],
                score=one["score"],
                why=one["why"][:200],
            )
            for one in event["answers"]
        ],
        update_conflicts=True,
        unique_fields=["evaluation", "baseline", "index"],
        update_fields=["text", "passed", "score", "why"],
    )


def store_answer(evaluation_id: int, event: AnswerEvent) -> None:
    """Idempotent: an event may arrive twice."""
    columns = answer_columns(event)
    answer = Answer(
        evaluation_id=evaluation_id,
        candidate_id=event["candidate"],
        index=event["index"],
        **columns,
    )
    Answer.objects.bulk_create(  # one statement, where update_or_create takes five
        [answer],
        update_conflicts=True,
        unique_fields=["evaluation", "candidate", "index"],
        update_fields=list(columns),
    )


def answer_columns(event: AnswerEvent) -> dict[str, Any]:
    """An "answer" event as columns of Answer."""
    return {
        "row": event["row"],
        "text": event.get("text", ""),
        "thought": event.get("thought", ""),
        "passed": event.get("passed"),
        "score": event.get("score"),
        "why": (event.get("why") or "")[:200],
        "tokens": event.get("tokens") or 0,
        "seconds": event.get("seconds") or 0.0,
        "prompt_tokens": event.get("prompt_tokens") or 0,
        "passages": event.get("passages") or [],
        "refused": event.get("finish_reason") == "refused",
    }

"""Asks judges about evaluations, and stores what they said."""

from typing import TypedDict

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.basemodels.models import BaseModel
from finetune_app.core.errors import PlainError
from finetune_app.evaluation.models import Answer, Evaluation
from finetune_app.evaluation.verdict.limits import spent_at
from finetune_app.evaluation.verdict.statistics import Split
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import CAN_CONTINUE, State
from finetune_app.judging import controls
from finetune_app.judging.calibration import given_choices
from finetune_app.judging.grading import Bias, Judgement, Share, grade
from finetune_app.judging.job_messages import CONTROL_KINDS, ControlKind, GivenChoice, Pair
from finetune_app.judging.judge_selection import JudgeOption
from finetune_app.judging.limits import MIN_CONTROLS
from finetune_app.judging.models import JudgeAnswer, JudgeRun
from finetune_app.providers.models import Endpoint


class StoredJudgement(TypedDict):
    """A Judgement as `JudgeRun.result` holds it in JSON; a share is [part, whole]."""

    answered: list[int]
    said_a: list[int]
    orders: list[int]
    controls: dict[ControlKind, list[int]]
    split: list[int] | None
    p_value: float | None  # of the sign test on the split
    alpha: float  # the p-value at most which the judge has a preference
    bias: Bias | None


def can_be_judged(evaluation: Evaluation) -> bool:
    """Whether its answers are there, and no person still votes on them without names."""
    hidden = evaluation.needs_person and not evaluation.revealed_at
    done = evaluation.job.state == State.SUCCEEDED
    return done and not hidden and evaluation.comparisons.exists()


@transaction.atomic
def start(
    *, evaluation: Evaluation, judge: JudgeOption, rubric: str, consent: bool, user: User
) -> JudgeRun:
    """Queue a judge, or return the run that is active.

    Raises:
        PlainError: the judge may not judge this evaluation, nobody has agreed to what is sent
            away, or there is too little to test the judge on.
    """
    Goal.objects.lock(evaluation.goal_id)
    active = evaluation.judge_runs.active().first()
    if active:
        return active
    if judge.why_not:
        raise PlainError(judge.why_not, status=409, title=_("This one cannot judge"))
    if judge.is_remote and not consent:
        raise PlainError(_("Nothing is sent there until you agree."), status=422)
    if not can_be_judged(evaluation):
        raise PlainError(_("A judge can be asked once the evaluation is done."), status=409)
    require_pairs(pairs_of(evaluation))
    job = jobs.create(
        team=evaluation.goal.team,
        kind="judge",
        spec={},
        title=_("Second opinion by %(name)s") % {"name": judge.label},
    )
    return JudgeRun.objects.create(
        evaluation=evaluation,
        base_model=judge.model if isinstance(judge.model, BaseModel) else None,
        endpoint=judge.model if isinstance(judge.model, Endpoint) else None,
        rubric=rubric.strip(),
        job=job,
        started_by=user,
    )


def require_pairs(pairs: list[Pair]) -> None:
    """Raises PlainError where a judge could not be tested, or would have nothing to judge."""
    kinds = [pair["kind"] for pair in pairs]
    if "answers" not in kinds:
        raise PlainError(
            _("Both gave the same answer to every prompt, so there is nothing to judge."),
            status=409,
        )
    if any(kinds.count(kind) < MIN_CONTROLS for kind in CONTROL_KINDS):
        raise PlainError(
            _(
                "A judge is tested on pairs with a known right answer before its opinion counts. "
                "They are made from your test prompts, and these are too few or their answers too "
                "much alike: %(n)d pairs of each kind are needed."
            )
            % {"n": MIN_CONTROLS},
            status=409,
            title=_("A judge could not be tested here"),
        )


def pairs_of(evaluation: Evaluation) -> list[Pair]:
    """The control pairs, then the evaluation's own; the same ones each time."""
    rows = test_rows(evaluation)
    return [*controls.control_pairs(rows, seed=evaluation.pk), *controls.answer_pairs(rows)]


def test_rows(evaluation: Evaluation) -> list[controls.TestRow]:
    answers = evaluation.answers.all().by_candidate()
    graded = evaluation.get_measure().graded

    def answer(candidate_id: int, index: int) -> controls.CandidateAnswer:
        found = answers.get((candidate_id, index), Answer())
        return controls.CandidateAnswer(found.text, None if graded else found.passed)

    return [
        controls.TestRow(
            index=row.index,
            prompt=row.prompt,
            wanted=row.wanted,
            base=answer(evaluation.base_id, row.index),
            ours=answer(evaluation.ours_id, row.index),
        )
        for row in evaluation.comparisons.all()
    ]


def stop(*, run: JudgeRun) -> None:
    jobs.ask_stop(run.job)


def resume(*, run: JudgeRun) -> None:
    """Ask the questions that have no answer yet. Raises PlainError unless it is stopped."""
    if run.job.state not in CAN_CONTINUE:
        raise PlainError(_("This is not stopped, so there is nothing to continue."))
    jobs.ask_continue(run.job)


def delete(*, run: JudgeRun) -> None:
    run.delete()


def store_choice(run: JudgeRun, given: GivenChoice) -> None:
    """Idempotent: an event may arrive twice."""
    JudgeAnswer.objects.bulk_create(  # one statement, where update_or_create takes five
        [
            JudgeAnswer(
                run=run,
                kind=given["kind"],
                index=given["index"],
                swapped=given["swapped"],
                choice=given["choice"],
            )
        ],
        update_conflicts=True,
        unique_fields=["run", "kind", "index", "swapped"],
        update_fields=["choice"],
    )


@transaction.atomic
def store_judgement(run: JudgeRun) -> Judgement:
    """Grade the judge from all that it said, and store the result. An opinion that is shown stays
    counted when it is deleted."""
    pairs = pairs_of(run.evaluation)
    asked = sum(pair["kind"] == "answers" for pair in pairs)
    same = run.evaluation.comparisons.count() - asked
    judgement = grade(given_choices(run), pairs, same, run.evaluation.groups)
    is_first = not run.result
    run.result = _to_json(judgement, alpha_of(run))
    run.save(update_fields=["result"])
    if judgement.split and is_first:
        judged = Evaluation.objects.filter(pk=run.evaluation_id)
        judged.update(judges_heard=F("judges_heard") + 1)
    return judgement


def alpha_of(run: JudgeRun) -> float:
    """Each judge is one more look at the same answers, so each asks for a rarer difference."""
    return 2 * spent_at(run.evaluation.looks + run.evaluation.judges_heard)


def _to_json(judgement: Judgement, alpha: float) -> StoredJudgement:
    split = judgement.split
    return {
        "answered": _pair(judgement.answered),
        "said_a": _pair(judgement.said_a),
        "orders": _pair(judgement.orders),
        "controls": {kind: _pair(share) for kind, share in judgement.controls.items()},
        "split": [*split] if split else None,
        "p_value": judgement.p_value,
        "alpha": alpha,
        "bias": judgement.bias,
    }


def judgement_of(run: JudgeRun) -> Judgement:
    """The stored judgement of a run that is done."""
    stored: StoredJudgement = run.result
    return Judgement(
        answered=Share(*stored["answered"]),
        said_a=Share(*stored["said_a"]),
        orders=Share(*stored["orders"]),
        controls={
            kind: Share(*stored["controls"][kind])
            for kind in CONTROL_KINDS
            if kind in stored["controls"]
        },
        split=Split(*stored["split"]) if stored["split"] else None,
        p_value=stored["p_value"],
        bias=stored["bias"],
    )


def is_significant(run: JudgeRun) -> bool:
    """Whether a judge that passed has a preference that chance alone would rarely give."""
    p_value = run.result["p_value"]
    return p_value is not None and p_value <= run.result["alpha"]


def _pair(share: Share) -> list[int]:
    return [share.part, share.whole]

"""Start evaluations, record votes, draw conclusions."""

import random
from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.candidates import services as candidates
from finetune_app.candidates.models import Candidate
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Version
from finetune_app.evaluation import test_set
from finetune_app.evaluation.models import Answer, Comparison, Evaluation, Look, Vote
from finetune_app.evaluation.verdict import Outcome, Verdict, judge
from finetune_app.goals.measures import get_measure
from finetune_app.goals.models import Goal, MeasureKind
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ACTIVE, CAN_CONTINUE, Kind, State
from finetune_app.training.models import Training

SIGNS = {Comparison.Outcome.BETTER: 1, Comparison.Outcome.SAME: 0, Comparison.Outcome.WORSE: -1}
VOTE_OUTCOMES = {
    Vote.Choice.TUNED: Comparison.Outcome.BETTER,
    Vote.Choice.BASE: Comparison.Outcome.WORSE,
    Vote.Choice.TIE: Comparison.Outcome.SAME,
    Vote.Choice.BOTH_BAD: Comparison.Outcome.SAME,
}


def looks_so_far(goal: Goal, version: Version) -> int:
    """How often results on these test prompts were seen: the more often, the less they prove.

    Test prompts stay test prompts when a dataset grows, so a look counts as long as at least
    half of the prompts there are now were among those seen.
    """
    looks = [set(rows) for rows in goal.looks.values_list("rows", flat=True)]
    now = {prompt.row for prompt in test_set.read(version)} if looks else set()
    return sum(2 * len(seen & now) >= len(now) for seen in looks)


def note_look(evaluation: Evaluation) -> None:
    """The results are there to be seen now. Safe to repeat."""
    seen = [prompt.row for prompt in test_set.read(evaluation.version)]
    _look, new = Look.objects.get_or_create(
        evaluation=evaluation, defaults={"goal": evaluation.goal, "rows": seen}
    )
    if new:
        evaluation.looks = looks_so_far(evaluation.goal, evaluation.version)
        evaluation.save(update_fields=["looks"])


@transaction.atomic
def start(
    *, training: Training, user: User | None, instructions: str = "",
    shots: list[dict[str, str]] | None = None,
) -> Evaluation:
    """Queue base against tuned (and base with a good prompt, when there are instructions or
    shots, and a measure to judge it by) on the version's test split. A second click returns the
    one already going.

    Raise PlainError when there is no adapter or no test prompt.
    """
    goal = Goal.objects.select_for_update().get(pk=training.goal_id)
    if not training.adapter_sha256:
        raise PlainError(_("There is no tuned model yet. Finish the training first."),
                         title=_("Nothing to test yet"))
    version = training.version
    if not version.counts.get("test"):
        raise PlainError(
            _("This version has no test prompts. Keep some examples back and freeze again."),
            title=_("Nothing to test it on"),
        )
    going = goal.evaluations.filter(tuned__training=training, job__state__in=ACTIVE).first()
    if going:
        return going
    base = candidates.base_candidate(goal=goal, base_model=training.base_model)
    tuned = candidates.tuned_candidate(training=training)
    prompted = None
    if goal.measure != MeasureKind.CHOICE and (instructions.strip() or shots):
        prompted = candidates.prompt_candidate(
            goal=goal, base_model=training.base_model, instructions=instructions,
            shots=shots or [],
        )
    job = jobs.create(
        team=goal.team, kind=Kind.EVALUATION, spec={},
        title=_("Test of training %(n)d") % {"n": training.number},
    )
    return Evaluation.objects.create(
        goal=goal, version=version, job=job, base=base, tuned=tuned, prompted=prompted,
        measure=goal.measure, measure_settings=goal.measure_settings,
        looks=looks_so_far(goal, version) + 1, started_by=user,
    )


def already_tested(training: Training) -> Evaluation | None:
    """Its newest finished test by the goal's measure of today."""
    return training.goal.evaluations.filter(
        tuned__training=training, measure=training.goal.measure,
        measure_settings=training.goal.measure_settings, job__state=State.SUCCEEDED,
    ).first()


def contenders(evaluation: Evaluation) -> list[Candidate]:
    """Base, with a good prompt (if it takes part), tuned: the order of the page."""
    found = [evaluation.base, evaluation.prompted, evaluation.tuned]
    return [candidate for candidate in found if candidate is not None]


def go_on(*, evaluation: Evaluation) -> None:
    """Answer what is still unanswered."""
    if evaluation.job.state not in CAN_CONTINUE:
        raise PlainError(_("This evaluation is not stopped, so there is nothing to continue."))
    jobs.ask_continue(evaluation.job)


def stop(*, evaluation: Evaluation) -> None:
    jobs.ask_stop(evaluation.job)


def compare(evaluation: Evaluation) -> None:
    """Set base and tuned side by side, prompt by prompt. Safe to repeat."""
    answers = _answers(evaluation)
    measure = get_measure(evaluation.measure, evaluation.measure_settings)
    for prompt in test_set.read(evaluation.version):
        base = answers.get((evaluation.base_id, prompt.index))
        tuned = answers.get((evaluation.tuned_id, prompt.index))
        if base is None or tuned is None:
            continue
        outcome = Comparison.Outcome.OPEN
        if not measure.needs_person:
            outcome = outcome_of(base, tuned, graded=measure.graded)
        Comparison.objects.update_or_create(
            evaluation=evaluation, index=prompt.index,
            defaults={"prompt": prompt.prompt, "wanted": prompt.wanted}
            | ({} if measure.needs_person else {"outcome": outcome}),
        )


def outcome_of(base: Answer, tuned: Answer, *, graded: bool) -> Comparison.Outcome:
    sign = _outcome(base, tuned, graded).sign
    return next(outcome for outcome, value in SIGNS.items() if value == sign)


def _outcome(first: Answer, second: Answer, graded: bool) -> Outcome:
    if graded:
        return Outcome.of_scores(first.score or 0.0, second.score or 0.0)
    return Outcome.of_passes(bool(first.passed), bool(second.passed))


def conclude(evaluation: Evaluation) -> Verdict | None:
    """Draw the verdict from what there is and store it; None while a person must still choose."""
    measure = get_measure(evaluation.measure, evaluation.measure_settings)
    rows = list(evaluation.comparisons.exclude(outcome=Comparison.Outcome.OPEN))
    if not rows:
        return None
    answers = _answers(evaluation)
    if measure.needs_person:
        outcomes = [Outcome(SIGNS[Comparison.Outcome(row.outcome)]) for row in rows]
        versus = wrong = None
        unasked = 0
    else:
        indexes = [row.index for row in rows]
        tuned, graded = evaluation.tuned_id, measure.graded
        outcomes = _outcomes(answers, evaluation.base_id, tuned, indexes, graded)
        versus = (
            _outcomes(answers, evaluation.prompted_id, tuned, indexes, graded)
            if evaluation.prompted_id else None
        )
        unasked = sum(
            answer.refused for (of, _index), answer in answers.items()
            if of == evaluation.prompted_id
        )
        wrong = None if graded else sum(not answers[tuned, index].passed for index in indexes)
    verdict = judge(
        outcomes, evaluation.general.get("level"), evaluation.looks, versus,
        voted=measure.needs_person, wrong=wrong, unasked=unasked,
    )
    evaluation.verdict = asdict(verdict)
    evaluation.save(update_fields=["verdict"])
    return verdict


def _outcomes(
    answers: dict[tuple[int, int], Answer], first: int, second: int, indexes: list[int],
    graded: bool,
) -> list[Outcome]:
    """Without the prompts that only the first could not be asked: nobody won those."""
    both = [(answers.get((first, i)), answers.get((second, i))) for i in indexes]
    return [
        _outcome(a, b, graded) for a, b in both
        if a is not None and b is not None and (b.refused or not a.refused)
    ]


def _answers(evaluation: Evaluation) -> dict[tuple[int, int], Answer]:
    return {(answer.candidate_id, answer.index): answer for answer in evaluation.answers.all()}


# ---- A person's blind choice ----


def by_choice(evaluation: Evaluation) -> bool:
    return get_measure(evaluation.measure, evaluation.measure_settings).needs_person


def left_side(evaluation: Evaluation, index: int, user: User) -> str:
    """Which candidate is shown left: shuffled by prompt and person, but stable on reload."""
    chance = random.Random(f"{evaluation.pk}:{index}:{user.pk}")
    return chance.choice(["base", "tuned"])


@transaction.atomic
def vote(*, evaluation: Evaluation, index: int, user: User, pressed: str) -> Vote:
    """Record A, B, tie or neither. A vote after the names were shown is kept but does not count,
    and never takes the place of one from before.

    Raise PlainError for an unknown prompt or button.
    """
    evaluation = _locked(evaluation)
    if not by_choice(evaluation):
        raise PlainError(_("This test is decided by its measure, not by a choice."), status=409)
    if not evaluation.comparisons.filter(index=index).exists():
        raise PlainError(_("There is no such pair of answers."), status=404)
    left = left_side(evaluation, index, user)
    right = "tuned" if left == "base" else "base"
    choices = {"a": left, "b": right, "tie": "tie", "neither": "both_bad"}
    if pressed not in choices:
        raise PlainError(_("Choose A, B, about the same, or neither."))
    earlier = evaluation.votes.filter(index=index, by=user, counts=True).first()
    if earlier and evaluation.revealed_at:
        return earlier
    found, _created = Vote.objects.update_or_create(
        evaluation=evaluation, index=index, by=user,
        defaults={
            "choice": choices[pressed], "left_was": left, "counts": not evaluation.revealed_at,
        },
    )
    _tally(evaluation, index)
    return found


@transaction.atomic
def take_back(*, evaluation: Evaluation, user: User) -> int | None:
    """Undo this person's last vote; return its prompt's index.

    Raise PlainError when the votes were counted: with the names known it would be a new choice.
    """
    evaluation = _locked(evaluation)
    if evaluation.revealed_at:
        raise PlainError(_("The votes were counted already, so they stay as they are."), status=409)
    last = evaluation.votes.filter(by=user).order_by("-at", "-pk").first()
    if last is None:
        return None
    last.delete()
    _tally(evaluation, last.index)
    return last.index


def _locked(evaluation: Evaluation) -> Evaluation:
    """Two people may vote at the same moment, or one votes while the other counts."""
    return Evaluation.objects.select_for_update().get(pk=evaluation.pk)


def _tally(evaluation: Evaluation, index: int) -> None:
    """Several people may have voted on one pair: the majority decides, a draw is a tie."""
    counted = evaluation.votes.filter(index=index, counts=True).values_list("choice", flat=True)
    outcome = Comparison.Outcome.OPEN
    if counted:
        signs = [SIGNS[VOTE_OUTCOMES[Vote.Choice(choice)]] for choice in counted]
        total = (sum(signs) > 0) - (sum(signs) < 0)
        outcome = next(o for o, sign in SIGNS.items() if sign == total)
    evaluation.comparisons.filter(index=index).update(outcome=outcome)


@transaction.atomic
def reveal(*, evaluation: Evaluation) -> Verdict | None:
    """Show the names and count. Votes after this do not count.

    Raise PlainError when there is nothing to count: the names would be given away for nothing.
    """
    evaluation = _locked(evaluation)
    if not evaluation.comparisons.exclude(outcome=Comparison.Outcome.OPEN).exists():
        raise PlainError(_("Choose on at least one pair first, then the votes can be counted."),
                         status=409, title=_("Nothing to count yet"))
    if not evaluation.revealed_at:
        evaluation.revealed_at = timezone.now()
        evaluation.save(update_fields=["revealed_at"])
    return conclude(evaluation)


def delete(*, evaluation: Evaluation) -> None:
    evaluation.delete()


def answer_of(result: dict[str, Any]) -> dict[str, Any]:
    """An "answer" event as the columns of an Answer."""
    return {
        "row": result["row"], "text": result.get("text", ""), "passed": result.get("passed"),
        "score": result.get("score"), "why": (result.get("why") or "")[:200],
        "tokens": result.get("tokens") or 0, "seconds": result.get("seconds") or 0.0,
        "refused": result.get("finish_reason") == "refused",
    }

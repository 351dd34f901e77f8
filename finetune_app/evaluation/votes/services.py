"""Blind votes: a person's choices between two answers are recorded, undone and counted."""

from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.evaluation.models import Comparison, Evaluation, Vote, Voter
from finetune_app.evaluation.outcomes import OUTCOME_OF_SIGN
from finetune_app.evaluation.services import store_verdict
from finetune_app.evaluation.verdict.types import Verdict
from finetune_app.evaluation.votes import voters
from finetune_app.evaluation.votes.ballots import Pair, control_of

SIGN_OF_CHOICE: dict[str, int] = {
    Vote.Choice.OURS: 1,
    Vote.Choice.BASE: -1,
    Vote.Choice.TIE: 0,
    Vote.Choice.BOTH_BAD: 0,
}


@transaction.atomic
def vote(*, voter: Voter, position: int, pressed: str) -> Vote:
    """Record A, B, tie or neither for the pair at this position of the voter's pairs.

    A vote after the names were revealed is stored but does not count, and never replaces an
    earlier one.

    Raises:
        PlainError: the pair or the button is unknown, or a member votes where a measure decides.
    """
    evaluation = Evaluation.objects.lock(voter.evaluation_id)
    if not voter.link_id:
        _require_person(evaluation)
    if not 0 <= position < len(voter.pairs):
        raise PlainError(_("There is no such pair of answers."), status=404)
    pair: Pair = voter.pairs[position]
    choice = _choice(pair, pressed)
    voter = voters.store_member(voter)
    index, control = voters.key_of(pair)
    earlier = voter.votes.filter(index=index, control=control, counts=True).first()
    if earlier and evaluation.revealed_at:
        return earlier
    found, _created = Vote.objects.update_or_create(
        evaluation=evaluation,
        voter=voter,
        index=index,
        control=control,
        defaults={
            "by": voter.user,
            "choice": choice,
            "left_was": pair["left"],
            "counts": voter.blind and not evaluation.revealed_at,
        },
    )
    _tally(evaluation, index)
    return found


def _require_person(evaluation: Evaluation) -> None:
    if not evaluation.needs_person:
        raise PlainError(_("This test is decided by its measure, not by a choice."), status=409)


def _choice(pair: Pair, pressed: str) -> str:
    sides = {"a": pair["left"], "b": pair["right"]}
    if pressed in sides:
        return Vote.Choice.CONTROL if sides[pressed] == control_of(pair) else sides[pressed]
    if pressed not in ("tie", "neither"):
        raise PlainError(_("Choose A, B, about the same, or neither."))
    return Vote.Choice.TIE if pressed == "tie" else Vote.Choice.BOTH_BAD


@transaction.atomic
def undo_last_vote(*, voter: Voter) -> Vote | None:
    """Delete and return this person's last vote.

    Raises:
        PlainError: the votes were counted, so the names are known.
    """
    evaluation = Evaluation.objects.lock(voter.evaluation_id)
    if evaluation.revealed_at:
        raise PlainError(_("The votes were counted already, so they stay as they are."), status=409)
    last = voters.last_vote(voter)
    if last:
        Vote.objects.filter(pk=last.pk).delete()
        _tally(evaluation, last.index)
    return last


@transaction.atomic
def reveal(*, evaluation: Evaluation) -> Verdict | None:
    """Reveal the names and count the votes. Votes after this do not count.

    Raises:
        PlainError: there is nothing to count, or a measure decides.
    """
    evaluation = Evaluation.objects.lock(evaluation.pk)
    _require_person(evaluation)
    require_answers(evaluation)
    nobody_chose = not evaluation.votes.counted().exists()
    if nobody_chose and evaluation.comparisons.filter(outcome=Comparison.Outcome.OPEN).exists():
        raise PlainError(
            _("Choose on at least one pair first, then the votes can be counted."),
            status=409,
            title=_("Nothing to count yet"),
        )
    if not evaluation.revealed_at:
        evaluation.revealed_at = timezone.now()
        evaluation.save(update_fields=["revealed_at"])
    return store_verdict(evaluation)


def require_answers(evaluation: Evaluation) -> None:
    """Raises PlainError until the test has ended: names shown before would make no vote blind."""
    if not evaluation.comparisons.exists():
        raise PlainError(
            _("There is nothing to vote on yet. Wait until the test has ended."),
            status=409,
            title=_("No answers yet"),
        )


def majority(choices: Iterable[str]) -> int:
    """+1 where more people chose ours, -1 base; 0 for a draw."""
    total = sum(SIGN_OF_CHOICE[choice] for choice in choices)
    return (total > 0) - (total < 0)


def _tally(evaluation: Evaluation, index: int) -> None:
    """Where people decide, set the prompt's outcome: the majority; a draw counts as the same."""
    if not evaluation.needs_person:
        return
    counted = evaluation.votes.counted().filter(index=index).values_list("choice", flat=True)
    outcome = Comparison.Outcome.OPEN
    if counted:
        outcome = OUTCOME_OF_SIGN[majority(counted)]
    evaluation.comparisons.filter(index=index).update(outcome=outcome)

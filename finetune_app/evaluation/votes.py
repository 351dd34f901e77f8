"""A person's blind choice: record it, take it back, count."""

import random

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.evaluation import services
from finetune_app.evaluation.models import Comparison, Evaluation, Vote
from finetune_app.evaluation.verdict import Verdict

SIDES = ("base", "ours")
OUTCOMES = {
    Vote.Choice.OURS: Comparison.Outcome.BETTER,
    Vote.Choice.BASE: Comparison.Outcome.WORSE,
    Vote.Choice.TIE: Comparison.Outcome.SAME,
    Vote.Choice.BOTH_BAD: Comparison.Outcome.SAME,
}


def left_side(evaluation: Evaluation, index: int, user: User) -> str:
    """Which candidate is shown left: shuffled by prompt and person, but stable on reload."""
    chance = random.Random(f"{evaluation.pk}:{index}:{user.pk}")
    return chance.choice(SIDES)


def other_side(side: str) -> str:
    return SIDES[1 - SIDES.index(side)]


@transaction.atomic
def vote(*, evaluation: Evaluation, index: int, user: User, pressed: str) -> Vote:
    """Record A, B, tie or neither. A vote after the names were shown is kept but does not count,
    and never takes the place of one from before.

    Raise PlainError for an unknown prompt or button.
    """
    evaluation = _locked(evaluation)
    if not services.by_choice(evaluation):
        raise PlainError(_("This test is decided by its measure, not by a choice."), status=409)
    if not evaluation.comparisons.filter(index=index).exists():
        raise PlainError(_("There is no such pair of answers."), status=404)
    left = left_side(evaluation, index, user)
    choices = {"a": left, "b": other_side(left), "tie": "tie", "neither": "both_bad"}
    if pressed not in choices:
        raise PlainError(_("Choose A, B, about the same, or neither."))
    earlier = evaluation.votes.filter(index=index, by=user, counts=True).first()
    if earlier and evaluation.revealed_at:
        return earlier
    found, _created = Vote.objects.update_or_create(
        evaluation=evaluation,
        index=index,
        by=user,
        defaults={
            "choice": choices[pressed],
            "left_was": left,
            "counts": not evaluation.revealed_at,
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


@transaction.atomic
def reveal(*, evaluation: Evaluation) -> Verdict | None:
    """Show the names and count. Votes after this do not count.

    Raise PlainError when there is nothing to count: the names would be given away for nothing.
    """
    evaluation = _locked(evaluation)
    if not evaluation.comparisons.exclude(outcome=Comparison.Outcome.OPEN).exists():
        raise PlainError(
            _("Choose on at least one pair first, then the votes can be counted."),
            status=409,
            title=_("Nothing to count yet"),
        )
    if not evaluation.revealed_at:
        evaluation.revealed_at = timezone.now()
        evaluation.save(update_fields=["revealed_at"])
    return services.conclude(evaluation)


def _locked(evaluation: Evaluation) -> Evaluation:
    """Two people may vote at the same moment, or one votes while the other counts."""
    return Evaluation.objects.select_for_update().get(pk=evaluation.pk)


def _tally(evaluation: Evaluation, index: int) -> None:
    """Several people may have voted on one pair: the majority decides, a draw is a tie."""
    counted = evaluation.votes.filter(index=index, counts=True).values_list("choice", flat=True)
    outcome = Comparison.Outcome.OPEN
    if counted:
        signs = [services.SIGNS[OUTCOMES[Vote.Choice(choice)]] for choice in counted]
        total = (sum(signs) > 0) - (sum(signs) < 0)
        outcome = next(o for o, sign in services.SIGNS.items() if sign == total)
    evaluation.comparisons.filter(index=index).update(outcome=outcome)

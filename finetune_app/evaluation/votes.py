"""Blind votes: a person's choices between two answers are recorded, undone and counted."""

import random

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.evaluation import services
from finetune_app.evaluation.models import Comparison, Evaluation, Vote
from finetune_app.evaluation.verdict_types import Verdict

SIDES = ("base", "ours")
OUTCOME_OF_CHOICE = {
    Vote.Choice.OURS: Comparison.Outcome.BETTER,
    Vote.Choice.BASE: Comparison.Outcome.WORSE,
    Vote.Choice.TIE: Comparison.Outcome.SAME,
    Vote.Choice.BOTH_BAD: Comparison.Outcome.SAME,
}


def left_side(evaluation: Evaluation, index: int, user: User) -> str:
    """Which candidate is shown on the left: random by prompt and person, but stable on reload."""
    generator = random.Random(f"{evaluation.pk}:{index}:{user.pk}")
    return generator.choice(SIDES)


def other_side(side: str) -> str:
    return SIDES[1 - SIDES.index(side)]


@transaction.atomic
def vote(*, evaluation: Evaluation, index: int, user: User, pressed: str) -> Vote:
    """Record A, B, tie or neither.

    A vote after the names were revealed is stored but does not count, and never replaces an
    earlier one.

    Raises:
        PlainError: the prompt or the button is unknown, or a measure decides this test.
    """
    evaluation = Evaluation.objects.lock(evaluation.pk)
    if not evaluation.needs_person:
        raise PlainError(_("This test is decided by its measure, not by a choice."), status=409)
    if not evaluation.comparisons.filter(index=index).exists():
        raise PlainError(_("There is no such pair of answers."), status=404)
    left = left_side(evaluation, index, user)
    choices = {"a": left, "b": other_side(left), "tie": "tie", "neither": "both_bad"}
    if pressed not in choices:
        raise PlainError(_("Choose A, B, about the same, or neither."))
    earlier = evaluation.votes.counted().filter(index=index, by=user).first()
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
def undo_last_vote(*, evaluation: Evaluation, user: User) -> int | None:
    """Delete this person's last vote; returns its prompt's index.

    Raises:
        PlainError: the votes were counted, so the names are known.
    """
    evaluation = Evaluation.objects.lock(evaluation.pk)
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
    """Reveal the names and count the votes. Votes after this do not count.

    Raises:
        PlainError: there is nothing to count.
    """
    evaluation = Evaluation.objects.lock(evaluation.pk)
    if not evaluation.comparisons.decided().exists():
        raise PlainError(
            _("Choose on at least one pair first, then the votes can be counted."),
            status=409,
            title=_("Nothing to count yet"),
        )
    if not evaluation.revealed_at:
        evaluation.revealed_at = timezone.now()
        evaluation.save(update_fields=["revealed_at"])
    return services.store_verdict(evaluation)


def _tally(evaluation: Evaluation, index: int) -> None:
    """Set the pair's outcome: the majority of all people's votes; a draw counts as the same."""
    counted = evaluation.votes.counted().filter(index=index).values_list("choice", flat=True)
    outcome = Comparison.Outcome.OPEN
    if counted:
        signs = [
            services.OUTCOME_SIGNS[OUTCOME_OF_CHOICE[Vote.Choice(choice)]] for choice in counted
        ]
        total = (sum(signs) > 0) - (sum(signs) < 0)
        outcome = services.OUTCOME_OF_SIGN[total]
    evaluation.comparisons.filter(index=index).update(outcome=outcome)

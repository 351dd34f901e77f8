"""Advice from the learning curve, as a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from finetune_app.training.models import Point

OVERFIT_FACTOR = 1.05  # times the best validation loss: past its best
MIN_IMPROVEMENT = 0.02  # of the first validation loss; less is no progress
PLATEAU = 0.01  # of the first validation loss, from one measurement to the next


@dataclass(frozen=True)
class Advice:
    """A sentence beside the curve. `calm`: the user need not do anything."""

    sentence: str
    calm: bool = True


def advise(points: Sequence[Point], ended: bool, finished: bool = True) -> Advice | None:
    """Advice from the validation loss; None with fewer than two measurements.

    ended: the training is over. finished: it ended with an adapter.
    """
    losses = [point.validation_loss for point in points if point.validation_loss is not None]
    if len(losses) < 2:
        return None
    first, best, last = losses[0], min(losses), losses[-1]
    base = points[0].validation_loss if points[0].step == 0 else None
    # Step 0 measures the base model, so it is compared with the measurements after it.
    if ended and finished and base is not None and min(losses[1:]) >= base:
        return Advice(
            _(
                "On the practice examples, which it never learns from, it does worse than before "
                "it began. Try a lower learning rate, or look at your examples again."
            ),
            calm=False,
        )
    if last > best * OVERFIT_FACTOR:
        if _answers_improved_after_the_loss(points):
            return Advice(
                _(
                    "It begins to know your examples by heart, but its answers to prompts that it "
                    "never learns from still got better after that. Answers count more."
                )
            )
        return Advice(_overfitting(ended and finished), calm=False)
    if first - best < MIN_IMPROVEMENT * first:
        return Advice(
            _("It has hardly moved. More or clearer examples would help more than more passes."),
            calm=False,
        )
    if ended and not finished:
        return Advice(
            _(
                "So far it has improved on examples it never learns from. "
                "Continue, and it carries on from its last saved point."
            )
        )
    if ended:
        return Advice(
            _(
                "It has improved on examples it never learned from. Now see whether its answers "
                "are right."
            )
        )
    if len(losses) > 2 and losses[-2] - last < PLATEAU * first:
        return Advice(
            _(
                "It has nearly stopped improving: it has found most of what your examples "
                "hold. Nothing for you to do."
            )
        )
    return Advice(_("Still improving on examples it never learns from. Nothing for you to do."))


def _answers_improved_after_the_loss(points: Sequence[Point]) -> bool:
    """Whether the highest score was reached after the lowest validation loss."""
    scored = [point for point in points if point.validation_score is not None]
    measured = [point for point in points if point.validation_loss is not None]
    if not scored:
        return False
    top = max(scored, key=lambda point: point.validation_score or 0)
    lowest = min(measured, key=lambda point: point.validation_loss or 0)
    return bool(top.validation_score) and top.step > lowest.step


def _overfitting(finished: bool) -> str:
    sentence = _("It has begun to memorise your examples rather than understand them.")
    if finished:
        return sentence + " " + _("We kept the point where it was best, so nothing is lost.")
    return sentence + " " + _("We keep the point where it is best, so nothing is lost.")

"""What the curve says, in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from finetune_app.training.models import Point

WORSE_AGAIN = 1.05  # times the best validation loss: it is past its best
HARDLY = 0.02  # of the first validation loss: less than this is no movement
LEVEL = 0.01  # of the first validation loss, from one measurement to the next


@dataclass(frozen=True)
class Advice:
    """A sentence beside the curve; `calm` is false where a person should look."""

    sentence: str
    calm: bool = True


def advise(points: Sequence[Point], ended: bool, finished: bool = True) -> Advice | None:
    """Read the validation loss: falling, level, or rising again; None while it says nothing.

    `ended`: it learns no more. `finished`: it ended with a tuned model, not half way.
    """
    losses = [point.validation_loss for point in points if point.validation_loss is not None]
    if len(losses) < 2:
        return None
    first, best, last = losses[0], min(losses), losses[-1]
    began = points[0].validation_loss if points[0].step == 0 else None
    # Where it began is not a model that we keep, so "best" is the best of those after it.
    if ended and finished and began is not None and min(losses[1:]) >= began:
        return Advice(
            _(
                "On examples it never learns from it does worse than before it began. Try a lower "
                "learning rate, or look at the examples again."
            ),
            calm=False,
        )
    if last > best * WORSE_AGAIN:
        return Advice(_remembering(ended and finished), calm=False)
    if first - best < HARDLY * first:
        return Advice(
            _("It has hardly moved. More or clearer examples would help more than more passes."),
            calm=False,
        )
    if ended and not finished:
        return Advice(
            _(
                "Up to here it improved on examples it never learns from. "
                "Continue, and it goes on from its last saved place."
            )
        )
    if ended:
        return Advice(
            _("It improved on examples it never learned from. Now see if its answers are right.")
        )
    if len(losses) > 2 and losses[-2] - last < LEVEL * first:
        return Advice(
            _(
                "It has nearly stopped improving: it has found most of what your examples "
                "hold. Nothing for you to do."
            )
        )
    return Advice(_("Still improving on examples it never learns from. Nothing for you to do."))


def _remembering(done: bool) -> str:
    seen = _("It has begun to remember your examples rather than understand them.")
    if done:
        return seen + " " + _("We kept the moment where it was best, so nothing is lost.")
    return seen + " " + _("We keep the moment where it is best, so nothing is lost.")

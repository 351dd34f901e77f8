"""What the curve says, in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from finetune_app.training.models import Point


@dataclass(frozen=True)
class Advice:
    sentence: str
    calm: bool = True


def advise(points: Sequence[Point], ended: bool) -> Advice | None:
    """Read the validation loss: falling, flat, or rising while the train loss still falls."""
    unseen = [(p.step, p.validation_loss) for p in points if p.validation_loss is not None]
    if len(unseen) < 2:
        return None
    losses = [loss for _step, loss in unseen]
    best = min(losses)
    last = losses[-1]
    if last > best * 1.05:
        kept = _("We keep the moment where it was best, so nothing is lost.")
        return Advice(
            _("It has begun to remember your examples rather than understand them.") + " " + kept,
            calm=False,
        )
    if losses[0] - best < 0.02 * losses[0]:
        return Advice(_("It has hardly moved. More or clearer examples would help more than more passes."),
                      calm=False)
    if ended:
        return Advice(_("It improved on examples it had not seen. Now see if the answers are right."))
    if len(losses) > 2 and losses[-2] - last < 0.01 * losses[0]:
        return Advice(_("It has nearly stopped improving on unseen examples, as it should near the end."))
    return Advice(_("Still improving on examples it has not seen. Nothing for you to do."))

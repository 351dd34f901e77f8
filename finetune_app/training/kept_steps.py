"""The measured steps of a training whose adapters are kept, beside the best one."""

from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.training.models import Point, Training


def name_of_step(training: Training, step: int | None) -> str:
    """ "training 3", or "training 3, step 120" for a step that is not its best."""
    if step is None:
        return _("training %(n)d") % {"n": training.number}
    return _("training %(n)d, step %(step)d") % {"n": training.number, "step": step}


def require_kept_step(training: Training, step: int) -> Point:
    """The point of the curve. Raises PlainError when its adapter is not kept."""
    point = training.points.kept().filter(step=step).first()
    if point is None:
        raise PlainError(
            _("What training %(n)d knew at step %(step)d is not kept, so it cannot be used.")
            % {"n": training.number, "step": step},
            status=404,
        )
    return point


def adapter_sha256_of(training: Training, step: int | None) -> str:
    """Raises PlainError when the step is not kept."""
    if step is None:
        return training.adapter_sha256
    return require_kept_step(training, step).adapter_sha256

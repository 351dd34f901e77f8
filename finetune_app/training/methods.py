"""What a training learns from: the answers of the examples, or people's choices between answers."""

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.basemodels.automatic_settings import DPO, SUPERVISED
from finetune_app.basemodels.models import BaseModel
from finetune_app.core.errors import PlainError
from finetune_app.core.thinking import NO
from finetune_app.goals.models import Goal
from finetune_app.training.models import Training
from finetune_app.versions.models import Version

METHODS = (SUPERVISED, DPO)
MIN_PAIRS = 20  # fewer choices are a matter of chance


@dataclass(frozen=True)
class MethodOption:
    """A method on the launch page. why_not: a sentence where it cannot be started."""

    name: str
    label: str
    why: str
    why_not: str = ""


def method_options(version: Version | None, thinking: str = NO) -> list[MethodOption]:
    """thinking: of the chosen base model."""
    return [
        MethodOption(
            SUPERVISED, _("Your answers"), _("It learns to answer as your examples do. Begin here.")
        ),
        MethodOption(
            DPO,
            _("Your choices"),
            _("Of two answers it learns which one you prefer: for tone and style, afterwards."),
            too_few_pairs(version) or cannot_think(thinking),
        ),
    ]


def too_few_pairs(version: Version | None) -> str:
    """Why preference tuning cannot be started; empty where it can."""
    pairs = version.pairs if version else 0
    if pairs >= MIN_PAIRS:
        return ""
    if not pairs:
        return _("It needs rows with a worse answer beside the better one: %(n)d at least.") % {
            "n": MIN_PAIRS
        }
    return ngettext(
        "There is %(pairs)d row with a worse answer beside the better one. It takes %(n)d.",
        "There are %(pairs)d rows with a worse answer beside the better one. It takes %(n)d.",
        pairs,
    ) % {"pairs": pairs, "n": MIN_PAIRS}


def cannot_think(thinking: str) -> str:
    """Why preference tuning does not go with thinking; empty where it is off."""
    if thinking == NO:
        return ""
    return _(
        "It compares answers, not the thoughts before them. Choose “No” for the thinking of the "
        "base model in step 3 to use it."
    )


def known_method(name: str) -> str:
    """Raises PlainError for a method that does not exist."""
    if name not in METHODS:
        raise PlainError(_("There is no such way of training. Open this page again."))
    return name


def require_method(method: str, version: Version, thinking: str = NO) -> None:
    """Raises PlainError for a method that does not exist, or that does not go with this version or
    with the thinking of the base model."""
    if known_method(method) != DPO:
        return
    if problem := too_few_pairs(version):
        raise PlainError(problem, title=_("Not enough choices yet"))
    if problem := cannot_think(thinking):
        raise PlainError(problem, title=_("This model thinks before it answers"))


def start_of(goal: Goal, base_model: BaseModel, method: str) -> Training | None:
    """The training that a new one goes on from; None where it starts from the base model.

    Preference comes after skill, so it goes on from what was learned last on this base model.
    """
    if method != DPO:
        return None
    trained = goal.trainings.with_adapter().filter(base_model=base_model)
    return next((one for one in trained.order_by("-number") if not one.is_full), None)

"""How much of the model changes, and which ways fit the machine that trains: an adapter is trained
(LoRA), an adapter beside weights in 4-bit (QLoRA), or every weight (full fine-tuning)."""

from dataclasses import dataclass
from importlib.util import find_spec

from django.utils.translation import gettext as _

from finetune_app.basemodels.automatic_settings import FULL, LORA, QLORA
from finetune_app.basemodels.catalogue import entry_of
from finetune_app.basemodels.estimates import estimate
from finetune_app.basemodels.memory_plan import NUMBER_BYTES
from finetune_app.basemodels.models import BaseModel
from finetune_app.basemodels.time_plan import shape_of
from finetune_app.core.errors import PlainError
from finetune_app.core.machine import Machine
from finetune_app.core.sizes import MEMORY_GB
from finetune_app.jobs.worker_machines import training_machine
from finetune_app.training.models import Training
from finetune_app.versions.models import Version

MAX_FULL_PARAMETERS = 1.5e9


@dataclass(frozen=True)
class TuningOption:
    """A way on the launch page.

    memory: what it needs, in bytes. why_not: a sentence where it cannot be started.
    """

    name: str
    label: str
    why: str
    memory: float
    why_not: str = ""


def tuning_options(
    base_model: BaseModel, version: Version, method: str, starts_from: Training | None = None
) -> list[TuningOption]:
    """starts_from: the training whose adapter is trained further."""
    machine = training_machine()
    described = {
        LORA: (
            _("A small part beside it (LoRA)"),
            _("An adapter of a few megabytes learns, the model itself stays. The usual choice."),
        ),
        QLORA: (
            _("A small part, beside a compressed model (QLoRA)"),
            _(
                "In 4 bits the model takes less memory while it learns, and more time. For one "
                "that does not fit otherwise: it answers with the rounded numbers afterwards."
            ),
        ),
        FULL: (
            _("All of it (full fine-tuning)"),
            _("Every number changes. It needs far more memory, and makes a model of its own."),
        ),
    }
    options = []
    for name, (label, why) in described.items():
        memory = estimate(base_model, version, method, name).memory_bytes
        why_not = _problem(name, base_model, memory, starts_from, machine)
        options.append(TuningOption(name, label, why, memory, why_not))
    return options


def default_tuning(starts_from: Training | None) -> str:
    """LoRA; but an adapter goes on beside the weights that it was learned on."""
    return QLORA if starts_from and starts_from.is_qlora else LORA


def require_tuning(
    tuning: str,
    base_model: BaseModel,
    version: Version,
    method: str,
    starts_from: Training | None = None,
) -> None:
    """Raises PlainError for a way that does not exist or does not fit here."""
    if tuning == LORA and not starts_from:
        return  # automatic; whether it fits is said with the base model
    options = tuning_options(base_model, version, method, starts_from)
    chosen = next((one for one in options if one.name == tuning), None)
    if chosen is None:
        raise PlainError(_("There is no such way of training. Open this page again."))
    if chosen.why_not:
        raise PlainError(chosen.why_not, title=_("Not possible here"))


def _problem(
    tuning: str,
    base_model: BaseModel,
    memory: float,
    starts_from: Training | None,
    machine: Machine,
) -> str:
    """Why it cannot be started, in a sentence; empty where it can."""
    if starts_from and tuning != FULL and tuning != default_tuning(starts_from):
        return _("It goes on from training %(n)d, whose adapter belongs to other weights.") % {
            "n": starts_from.number
        }
    if tuning == LORA:
        return ""
    if tuning == QLORA and find_spec("bitsandbytes") is None:
        return _("It needs the package bitsandbytes, which is not installed here.")
    if tuning == FULL and starts_from:
        return _("It goes on from the adapter of training %(n)d, and an adapter it stays.") % {
            "n": starts_from.number
        }
    parameters = shape_of(entry_of(base_model.slug), base_model).parameters
    if tuning == FULL and parameters > MAX_FULL_PARAMETERS:
        return _(
            "This model has %(n).1f billion numbers; above %(most).1f billion, an adapter learns "
            "as well for a fraction of the memory."
        ) % {"n": parameters / 1e9, "most": MAX_FULL_PARAMETERS / 1e9}
    if memory > machine.available_bytes:
        return _("It needs about %(need).1f GB of memory, and %(free).1f GB are free.") % {
            "need": memory / MEMORY_GB,
            "free": machine.available_bytes / MEMORY_GB,
        }
    answering = parameters * NUMBER_BYTES["bf16"]
    if tuning == QLORA and answering > machine.available_bytes:
        return _(
            "It would learn here, but not answer: for that it needs about %(need).1f GB of memory, "
            "and %(free).1f GB are free."
        ) % {"need": answering / MEMORY_GB, "free": machine.available_bytes / MEMORY_GB}
    return ""

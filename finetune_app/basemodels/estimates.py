"""What a training would cost here: time and memory, with ranges that real runs correct.

Memory of a LoRA training, in bytes, is what was measured on the starter, taken apart:
    Python and torch                       0.7 GB
    base weights                           2 a parameter in bf16
    adapter, its master copy and moments   14 a trained parameter (about 3.6% of all)
    what a step keeps for its way back     48 a token, layer and hidden unit
A finished training replaces the estimate by what it really took (Speed).
"""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.basemodels.automatic import automatic
from finetune_app.basemodels.catalogue import entry_of
from finetune_app.basemodels.models import BaseModel, Speed
from finetune_app.core.machine import GIB, Machine
from finetune_app.core.templatetags.ui import about, duration
from finetune_app.datasets.models import Version

OVERHEAD = 0.7e9
ADAPTER_SHARE = 0.036
ADAPTER_BYTES = 14
STEP_BYTES = 48
CHARACTERS_A_TOKEN = 3.6
TEMPLATE_TOKENS = 20  # a row: the roles and their marks
GUESS = 300.0  # tokens/s of the starter where nothing was measured yet
STARTER_PARAMETERS = 134.5e6
ROOM_FOR_SAMPLES = 1.15  # sample answers and validation beside the steps themselves


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes; `measured` says whether this very model has run here before."""

    seconds: float
    low: float
    high: float
    memory_bytes: float
    tokens: int
    tokens_per_second: float
    measured: bool

    @property
    def time_words(self) -> str:
        return about(self.seconds)

    @property
    def time_range_words(self) -> str:
        if self.high < 90:
            return _("measured here") if self.measured else _("a guess until it has run here once")
        low, high = duration(self.low), duration(self.high)
        why = _("as measured here") if self.measured else _("a guess until it has run here once")
        return _("probably %(low)s to %(high)s, %(why)s") % {"low": low, "high": high, "why": why}

    @property
    def memory_words(self) -> str:
        return _("about %(gb).1f GB") % {"gb": self.memory_bytes / 1e9}

    @property
    def memory_why(self) -> str:
        return _("at %(n).0f tokens a second") % {"n": self.tokens_per_second}


def estimate(base_model: BaseModel, version: Version) -> Estimate:
    """For an installed model and a frozen version, with the automatic settings."""
    settings = automatic_for(version)["settings"]
    tokens = tokens_of(version) * int(settings["epochs"])
    entry = entry_of(base_model.slug)
    memory = memory_needed(
        base_model.parameters, entry.layers if entry else 28, entry.hidden if entry else 1536,
        tokens_a_step=_tokens_a_step(version, int(settings["batch_size"])),
    )
    speed = Speed.objects.filter(base_model=base_model, what="training").first()
    per_second = speed.tokens_per_second if speed else guessed_speed(base_model.parameters)
    if speed and speed.peak_memory_bytes:
        memory = max(memory, speed.peak_memory_bytes)
    seconds = tokens / per_second * ROOM_FOR_SAMPLES + 5
    spread = 1.4 if speed else 2.5
    return Estimate(
        seconds=seconds, low=seconds / spread, high=seconds * spread, memory_bytes=memory,
        tokens=tokens, tokens_per_second=per_second, measured=speed is not None,
    )


def automatic_for(version: Version) -> dict[str, Any]:
    """The settings we would choose for a version (see automatic.py).

    The longest row is counted generously, two characters a token, so that none is cut.
    """
    return automatic(
        rows=version.counts.get("train", 0),
        longest_tokens=version.longest // 2 + TEMPLATE_TOKENS * 2,
    )


def tokens_of(version: Version) -> int:
    """About how many tokens one pass over the train rows is."""
    rows = version.counts.get("train", 0)
    return int(version.characters / CHARACTERS_A_TOKEN) + TEMPLATE_TOKENS * rows


def _tokens_a_step(version: Version, batch_size: int) -> int:
    rows = max(version.counts.get("train", 0), 1)
    typical = tokens_of(version) / rows
    longest = version.longest / CHARACTERS_A_TOKEN + TEMPLATE_TOKENS
    return int(batch_size * max(typical, longest / 2))


def memory_needed(parameters: float, layers: int, hidden: int, tokens_a_step: int) -> float:
    """Bytes a training needs at its peak."""
    adapter = ADAPTER_SHARE * parameters * ADAPTER_BYTES
    step = STEP_BYTES * tokens_a_step * layers * hidden
    return OVERHEAD + 2 * parameters + adapter + step


def guessed_speed(parameters: float) -> float:
    """Tokens a second: from the nearest model measured here, else from a guess, by size."""
    known = (
        Speed.objects.filter(what="training", base_model__parameters__gt=0)
        .select_related("base_model")
        .first()
    )
    if known:
        return known.tokens_per_second * known.base_model.parameters / max(parameters, 1)
    return GUESS * STARTER_PARAMETERS / max(parameters, 1)


@dataclass(frozen=True)
class Fit:
    """Whether a model can be trained on this machine. level: fits, almost or no."""

    level: str
    memory_bytes: float
    word: str
    sentence: str


def fit(machine: Machine, memory_bytes: float, seconds: float | None) -> Fit:
    """Compare what a training needs with what is free."""
    free = machine.free_bytes
    time = _("Training: %(time)s.") % {"time": about(seconds)} if seconds else ""
    if memory_bytes <= free:
        if seconds and seconds > 6 * 3600:
            return Fit("almost", memory_bytes, _("Fits, but slow"),
                       _("%(time)s A graphics card would help.") % {"time": time})
        return Fit("fits", memory_bytes, _("Fits"), time)
    over = (memory_bytes - free) / GIB
    if memory_bytes <= 1.25 * free:
        return Fit("almost", memory_bytes, _("Almost fits"),
                   _("Close other programs: %(gb).1f GB more than is free.") % {"gb": over})
    return Fit("no", memory_bytes, _("Does not fit"),
               _("It needs %(gb).0f GB of memory; run a worker on a larger machine.")
               % {"gb": memory_bytes / GIB})

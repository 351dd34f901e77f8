"""Estimates of a training's time and memory on this machine, corrected by finished runs.

Memory of a LoRA training in bytes, as measured on the starter model:
    Python and torch                          0.7 GB
    base weights                              2 per parameter in bf16, 4 in fp32
    adapter, its master copy, Adam moments    14 per trained parameter (about 3.6% of all)
    activations kept for the backward pass    48 per token, layer and hidden unit
    logits                                    12 per answer token and word of the vocabulary
A finished training replaces the estimated speed by the measured one (Speed).
"""

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.basemodels.automatic_settings import (
    DPO,
    SUPERVISED,
    AutomaticSettings,
    automatic_settings,
)
from finetune_app.basemodels.catalogue import CatalogueEntry, entry_of
from finetune_app.basemodels.models import BaseModel, Speed
from finetune_app.core.machine import Machine
from finetune_app.core.sizes import MEMORY_GB
from finetune_app.core.templatetags.ui import about, duration
from finetune_app.versions.models import Version

OVERHEAD_BYTES = 0.7e9
ADAPTER_SHARE = 0.036
ADAPTER_BYTES = 14
ACTIVATION_BYTES = 48
LOGIT_BYTES = 12
ANSWER_SHARE = 0.25  # of a row's tokens, typically
CHARACTERS_PER_TOKEN = 3.6
TEMPLATE_TOKENS = 20  # per row: role markers of the chat template
DEFAULT_TOKENS_PER_SECOND = 300.0  # of the starter model, where nothing has been measured
STARTER_PARAMETERS = 134.5e6
VALIDATION_FACTOR = 1.15  # on the time of the updates, for validation and sample answers
LOAD_SECONDS = 5  # loading the model
MEASURED_SPREAD, DEFAULT_SPREAD = 1.4, 2.5  # factors around the estimated time
SLOW_SECONDS = 6 * 3600
NEARLY_FITS_FACTOR = 1.25  # on the free memory


@dataclass(frozen=True)
class ModelShape:
    """Dimensions of a model: parameters, layers, hidden size, vocabulary."""

    parameters: float
    layers: int
    hidden: int
    vocabulary: int


# Of a medium-sized model, where the shape is not known.
DEFAULT_SHAPE = {"layers": 28, "hidden": 1536, "vocabulary": 128_000}


@dataclass(frozen=True)
class TrainingWork:
    """Amount of work. `tokens` are those of one epoch."""

    tokens: int
    rows: int
    epochs: int
    tokens_per_step: int


DEFAULT_WORK = TrainingWork(tokens=20_000, rows=250, epochs=3, tokens_per_step=640)


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes. `measured`: this model has been trained on this machine before."""

    seconds: float
    low: float
    high: float
    memory_bytes: float
    tokens: int
    tokens_per_second: float
    measured: bool
    work: TrainingWork

    @property
    def time_words(self) -> str:
        return about(self.seconds)

    @property
    def range_words(self) -> str:
        """ "probably 4 to 9 minutes"; empty where a range would not help."""
        if self.high < 90:
            return ""
        low, high = duration(self.low), duration(self.high)
        number, _space, unit = low.partition(" ")
        if high.endswith(f" {unit}") and " " not in unit:
            low = number
        if low == high.partition(" ")[0]:
            return ""
        return _("probably %(low)s to %(high)s") % {"low": low, "high": high}

    @property
    def time_range_words(self) -> str:
        why = _("as measured here") if self.measured else _("a guess until it has run here once")
        return f"{self.range_words}, {why}" if self.range_words else why

    @property
    def memory_words(self) -> str:
        return _("about %(gb).1f GB") % {"gb": self.memory_bytes / MEMORY_GB}

    @property
    def memory_why(self) -> str:
        return _("the model, what it learns, and %(n)s tokens at a time") % {
            "n": f"{self.work.tokens_per_step:,}"
        }

    @property
    def time_why(self) -> str:
        """ "240 examples, read up to three times, at 430 tokens a second as measured here." """
        rows = ngettext("%(n)s example", "%(n)s examples", self.work.rows) % {
            "n": f"{self.work.rows:,}"
        }
        speed = {"speed": f"{self.tokens_per_second:,.0f}"}
        rate = (
            _("%(speed)s tokens a second as measured here") % speed
            if self.measured
            else _("perhaps %(speed)s tokens a second, a guess until it has run here once") % speed
        )
        return _("%(rows)s, read %(times)s, at %(pace)s.") % {
            "rows": rows,
            "times": at_most(self.work.epochs),
            "pace": rate,
        }


def estimate(base_model: BaseModel, version: Version, method: str = SUPERVISED) -> Estimate:
    """For an installed model and a frozen version, with the automatic settings."""
    return estimate_for(
        shape_of(entry_of(base_model.slug), base_model), work_of(version, method), base_model
    )


def estimate_for(
    shape: ModelShape,
    work: TrainingWork,
    base_model: BaseModel | None = None,
    speeds: "MeasuredSpeeds | None" = None,
) -> Estimate:
    """For a model of this shape, with the measured speed of `base_model` if there is one.
    `speeds`: for several estimates, to be read once."""
    speeds = speeds or MeasuredSpeeds.read()
    speed = speeds.of_model.get(base_model.pk) if base_model else None
    number_bytes = 4 if speed and speed.number_format == "fp32" else 2
    memory = memory_needed(shape, work.tokens_per_step, number_bytes)
    if speed and speed.peak_memory_bytes:
        memory = max(memory, speed.peak_memory_bytes)
    per_second = speed.tokens_per_second if speed else speeds.expected(shape.parameters)
    tokens = work.tokens * work.epochs
    seconds = tokens / per_second * VALIDATION_FACTOR + LOAD_SECONDS
    spread = MEASURED_SPREAD if speed else DEFAULT_SPREAD
    return Estimate(
        seconds=seconds,
        low=seconds / spread,
        high=seconds * spread,
        memory_bytes=memory,
        tokens=tokens,
        tokens_per_second=per_second,
        measured=speed is not None,
        work=work,
    )


def shape_of(entry: CatalogueEntry | None, base_model: BaseModel | None) -> ModelShape:
    """The shape in the catalogue, else the one found by the install."""
    if entry:
        return ModelShape(entry.parameters, entry.layers, entry.hidden, entry.vocabulary)
    if base_model is None:
        return ModelShape(0, 0, 0, 0)
    return ModelShape(base_model.parameters, **(DEFAULT_SHAPE | base_model.shape))


def work_of(version: Version | None, method: str = SUPERVISED) -> TrainingWork:
    """The work of training on a version with the automatic settings; a typical one for None."""
    if version is None:
        return DEFAULT_WORK
    settings = automatic_for(version, method=method).settings
    train = max(version.counts.get("train", 0), 1)
    rows = version.pairs if method == DPO else train
    answers = 2 if method == DPO else 1
    return TrainingWork(
        tokens=answers * tokens_of(version) * rows // train,
        rows=rows,
        epochs=int(settings["epochs"]),
        tokens_per_step=answers * _tokens_per_step(version, int(settings["batch_size"])),
    )


def automatic_for(
    version: Version, base_model: BaseModel | None = None, method: str = SUPERVISED
) -> AutomaticSettings:
    """The automatic settings for a version and a base model.

    The longest row is estimated at two characters per token, so that no row is truncated.
    """
    return automatic_settings(
        rows=version.pairs if method == DPO else version.counts.get("train", 0),
        longest_tokens=version.longest // 2 + TEMPLATE_TOKENS * 2,
        hidden=shape_of(entry_of(base_model.slug), base_model).hidden if base_model else 0,
        method=method,
    )


def tokens_of(version: Version) -> int:
    """Estimated tokens of one epoch."""
    rows: int = version.counts.get("train", 0)
    return int(version.characters / CHARACTERS_PER_TOKEN) + TEMPLATE_TOKENS * rows


def _tokens_per_step(version: Version, batch_size: int) -> int:
    rows = max(version.counts.get("train", 0), 1)
    typical = tokens_of(version) / rows
    longest = version.longest / CHARACTERS_PER_TOKEN + TEMPLATE_TOKENS
    return int(batch_size * max(typical, longest / 2))


def memory_needed(shape: ModelShape, tokens_per_step: int, number_bytes: int = 2) -> float:
    """Peak memory of a training, in bytes."""
    weights = number_bytes * shape.parameters
    adapter = ADAPTER_SHARE * shape.parameters * ADAPTER_BYTES
    activations = ACTIVATION_BYTES * tokens_per_step * shape.layers * shape.hidden
    logits = LOGIT_BYTES * ANSWER_SHARE * tokens_per_step * shape.vocabulary
    return OVERHEAD_BYTES + weights + adapter + activations + logits


@dataclass(frozen=True)
class MeasuredSpeeds:
    """The speeds of training that were measured here, by the model's pk."""

    of_model: dict[int, Speed]

    @classmethod
    def read(cls) -> "MeasuredSpeeds":
        measured = Speed.objects.filter(what="training").select_related("base_model")
        return cls({one.base_model_id: one for one in measured.order_by("pk")})

    def expected(self, parameters: float) -> float:
        """Tokens per second, scaled by size from a model measured here, or from a default."""
        known = next((one for one in self.of_model.values() if one.base_model.parameters), None)
        if known:
            return known.tokens_per_second * known.base_model.parameters / max(parameters, 1)
        return DEFAULT_TOKENS_PER_SECOND * STARTER_PARAMETERS / max(parameters, 1)


def times(count: int) -> str:
    """ "once", "twice", "three times"..."""
    words = [
        _("once"),
        _("twice"),
        _("three times"),
        _("four times"),
        _("five times"),
        _("six times"),
        _("seven times"),
        _("eight times"),
    ]
    return words[count - 1] if 1 <= count <= len(words) else _("%(n)d times") % {"n": count}


def at_most(count: int) -> str:
    """ "once", "up to three times"..."""
    return times(count) if count == 1 else _("up to %(times)s") % {"times": times(count)}


@dataclass(frozen=True)
class MemoryFit:
    """Whether a model can be trained on this machine. `level`: fits, almost or no."""

    level: str
    word: str
    sentence: str
    memory: str


def fit(machine: Machine, memory_bytes: float, seconds: float) -> MemoryFit:
    """Compare a training's memory with the free memory."""
    free = machine.available_bytes
    need = _("%(gb).1f GB") % {"gb": memory_bytes / MEMORY_GB}
    time = _("About %(time)s to train.") % {"time": duration(seconds)}
    if memory_bytes <= free:
        if seconds > SLOW_SECONDS and machine.card is None:
            slow = _("%(time)s A graphics card would help.") % {"time": time}
            return MemoryFit("almost", _("Fits, but slow"), slow, need)
        return MemoryFit("fits", _("Fits"), time, need)
    over = _("%(need)s, %(gb).1f GB more than is free") % {
        "need": need,
        "gb": (memory_bytes - free) / MEMORY_GB,
    }
    if memory_bytes <= NEARLY_FITS_FACTOR * free:
        close = _("Close other programs, or learn from shorter examples. %(time)s") % {"time": time}
        return MemoryFit("almost", _("Almost fits"), close, over)
    card = _("It needs a machine or a graphics card with %(gb)d GB of free memory.") % {
        "gb": -(-memory_bytes // MEMORY_GB)
    }
    return MemoryFit("no", _("Does not fit"), card, over)

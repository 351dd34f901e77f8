"""Estimates of a training's time and memory, corrected by finished runs.

The memory is planned part by part from the model's shapes (memory_plan.py), for the longest rows of
the version. A finished training replaces the estimated speed by the measured one (Speed).
"""

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.basemodels.automatic_settings import (
    DPO,
    LORA,
    SUPERVISED,
    AutomaticSettings,
    automatic_settings,
)
from finetune_app.basemodels.catalogue import CatalogueEntry, entry_of
from finetune_app.basemodels.memory_plan import (
    MemoryPlan,
    ModelShape,
    TrainingSetup,
    memory_plan,
)
from finetune_app.basemodels.models import BaseModel, Speed
from finetune_app.basemodels.training_work import (
    DEFAULT_WORK,
    TEMPLATE_TOKENS,
    TrainingWork,
    largest_batch,
    replay_rows,
    tokens_of,
)
from finetune_app.core.machine import Machine
from finetune_app.core.sizes import MEMORY_GB
from finetune_app.core.templatetags.ui import about, duration
from finetune_app.versions.models import Version

DEFAULT_TOKENS_PER_SECOND = 300.0  # of the starter model, where nothing has been measured
STARTER_PARAMETERS = 134.5e6
VALIDATION_FACTOR = 1.15  # on the time of the updates, for validation and sample answers
LOAD_SECONDS = 5  # loading the model
MEASURED_SPREAD, DEFAULT_SPREAD = 1.4, 2.5  # factors around the estimated time
SLOW_SECONDS = 6 * 3600
NEARLY_FITS_FACTOR = 1.25  # on the free memory


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes. `measured`: this model has been trained on this machine before."""

    seconds: float
    low: float
    high: float
    memory: MemoryPlan
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
    def memory_bytes(self) -> float:
        return self.memory.total

    @property
    def memory_words(self) -> str:
        return _("about %(gb).1f GB") % {"gb": self.memory_bytes / MEMORY_GB}

    @property
    def memory_why(self) -> str:
        """ "0.3 GB the model, 0.1 GB what it learns, 0.9 GB for 640 tokens at a time" """
        plan = self.memory
        model, learned = plan.weights, plan.adapter + plan.optimizer
        return _(
            "%(model).1f GB the model, %(learned).1f GB what it learns, %(rest).1f GB to work on "
            "%(n)s tokens at a time"
        ) % {
            "model": model / MEMORY_GB,
            "learned": learned / MEMORY_GB,
            "rest": (plan.total - model - learned) / MEMORY_GB,
            "n": f"{self.work.largest.tokens:,}",
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


def estimate(
    base_model: BaseModel, version: Version, method: str = SUPERVISED, tuning: str = LORA
) -> Estimate:
    """For an installed model and a frozen version, with the automatic settings. The time is that
    of LoRA, which alone is measured."""
    shape = shape_of(entry_of(base_model.slug), base_model)
    return estimate_for(shape, work_of(version, method), base_model, tuning=tuning)


def estimate_for(
    shape: ModelShape,
    work: TrainingWork,
    base_model: BaseModel | None = None,
    speeds: "MeasuredSpeeds | None" = None,
    *,
    on_card: bool = False,
    tuning: str = LORA,
) -> Estimate:
    """For a model of this shape, with the measured speed of `base_model` if there is one.
    `speeds`: for several estimates, to be read once. on_card: it trains on a graphics card."""
    speeds = speeds or MeasuredSpeeds.read()
    speed = speeds.of_model.get(base_model.pk) if base_model else None
    setup = TrainingSetup(
        number_format=(speed.number_format if speed else "") or "bf16",
        rank=work.rank,
        tuning=tuning,
        on_card=on_card,
        replay_rows=work.replay_rows,
    )
    plan = memory_plan(shape, setup, work.largest)
    per_second = speed.tokens_per_second if speed else speeds.expected(shape.parameters)
    tokens = work.tokens * work.epochs
    seconds = tokens / per_second * VALIDATION_FACTOR + LOAD_SECONDS
    spread = MEASURED_SPREAD if speed else DEFAULT_SPREAD
    return Estimate(
        seconds=seconds,
        low=seconds / spread,
        high=seconds * spread,
        memory=plan,
        tokens=tokens,
        tokens_per_second=per_second,
        measured=speed is not None,
        work=work,
    )


def shape_of(entry: CatalogueEntry | None, base_model: BaseModel | None) -> ModelShape:
    """The shape in the catalogue, else the one found by the install."""
    if entry:
        return entry.shape
    if base_model is None:
        return ModelShape(0, 0, 0, 0)
    return ModelShape.known(base_model.parameters, base_model.shape)


def work_of(version: Version | None, method: str = SUPERVISED) -> TrainingWork:
    """The work of training on a version with the automatic settings; a typical one for None."""
    if version is None:
        return DEFAULT_WORK
    settings = automatic_for(version, method=method).settings
    batch_size = int(settings["batch_size"])
    train = max(version.counts.get("train", 0), 1)
    rows = version.pairs if method == DPO else train
    answers = 2 if method == DPO else 1
    return TrainingWork(
        tokens=answers * tokens_of(version) * rows // train,
        rows=rows,
        epochs=int(settings["epochs"]),
        rank=int(settings["rank"]),
        replay_rows=replay_rows(batch_size, float(settings["replay_share"])),
        largest=largest_batch(version, batch_size, int(settings["max_tokens"]), answers),
    )


def automatic_for(
    version: Version,
    base_model: BaseModel | None = None,
    method: str = SUPERVISED,
    tuning: str = LORA,
) -> AutomaticSettings:
    """The automatic settings for a version and a base model.

    The longest row is estimated at two characters per token, so that no row is truncated.
    """
    return automatic_settings(
        rows=version.pairs if method == DPO else version.counts.get("train", 0),
        longest_tokens=version.longest // 2 + TEMPLATE_TOKENS * 2,
        hidden=shape_of(entry_of(base_model.slug), base_model).hidden if base_model else 0,
        method=method,
        tuning=tuning,
    )


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

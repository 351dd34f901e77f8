"""Estimates of a training's time and memory, corrected by finished runs.

The memory is planned part by part from the model's shapes (memory_plan.py), for the longest rows of
the version; the time from the work and the speed of the device that will train (time_plan.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.basemodels.automatic_settings import (
    DPO,
    LORA,
    SUPERVISED,
    AutomaticSettings,
    automatic_settings,
)
from finetune_app.basemodels.catalogue import entry_of
from finetune_app.basemodels.memory_plan import (
    LargestBatch,
    MemoryPlan,
    ModelShape,
    TrainingSetup,
    memory_plan,
    token_budget,
)
from finetune_app.basemodels.models import BaseModel
from finetune_app.basemodels.time_plan import MeasuredSpeeds, expected_time, shape_of
from finetune_app.basemodels.training_work import (
    DEFAULT_WORK,
    MAX_VALIDATION_ROWS,
    START_ANSWERS,
    TEMPLATE_TOKENS,
    TrainingWork,
    everyday_tokens,
    longest_answer,
    longest_rows,
    replay_rows,
    tokens_of,
    tokens_per_answer,
)
from finetune_app.core.machine import Machine
from finetune_app.core.sizes import MEMORY_GB
from finetune_app.core.templatetags.ui import about, duration
from finetune_app.jobs.worker_machines import training_machine
from finetune_app.versions.models import Version

SLOW_SECONDS = 6 * 3600
NEARLY_FITS_FACTOR = 1.25  # on the free memory


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes. `measured`: this model has been trained on this machine before."""

    seconds: float
    low: float
    high: float
    memory: MemoryPlan
    at_once: LargestBatch
    tokens: int
    tokens_per_second: float
    measured: bool
    work: TrainingWork
    device: str

    def as_json(self) -> dict[str, Any]:
        """What is kept of it beside the training, to be compared with what it took."""
        return {
            "seconds": round(self.seconds),
            "low": round(self.low),
            "high": round(self.high),
            "steps": self.work.steps,
            "memory_bytes": round(self.memory_bytes),
            "device": self.device,
        }

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
            "n": f"{self.at_once.tokens:,}",
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
    base_model: BaseModel,
    version: Version,
    method: str = SUPERVISED,
    tuning: str = LORA,
    settings: Mapping[str, Any] | None = None,
) -> Estimate:
    """For an installed model and a frozen version, on the machine that will train. settings: those
    of the training; without, the automatic ones. The time is that of LoRA, which alone is
    measured."""
    shape = shape_of(entry_of(base_model.slug), base_model)
    work = work_of(version, method, settings)
    speeds = MeasuredSpeeds.read(training_machine())
    return estimate_for(shape, work, base_model, speeds, tuning=tuning, settings=settings)


def estimate_for(
    shape: ModelShape,
    work: TrainingWork,
    base_model: BaseModel | None,
    speeds: MeasuredSpeeds,
    *,
    tuning: str = LORA,
    settings: Mapping[str, Any] | None = None,
) -> Estimate:
    """For a model of this shape, by the speeds of the device that will train."""
    settings = settings or {}
    speed = speeds.expected(shape, work, base_model)
    chosen = str(settings.get("number_format", "auto"))
    setup = TrainingSetup(
        number_format=(speed.number_format or "bf16") if chosen == "auto" else chosen,
        rank=work.rank,
        tuning=tuning,
        on_card=speeds.on_card,
        gradient_checkpointing=settings.get("gradient_checkpointing") == "on",
        replay_rows=work.replay_rows,
    )
    time = expected_time(shape, work, speed)
    at_once = work.longest_rows.at_once(token_budget(setup.number_format, setup.on_card))
    return Estimate(
        seconds=time.seconds,
        low=time.low,
        high=time.high,
        memory=memory_plan(shape, setup, at_once),
        at_once=at_once,
        tokens=work.tokens * work.epochs,
        tokens_per_second=speed.tokens_per_second,
        measured=speed.measured,
        work=work,
        device=speeds.device,
    )


def work_of(
    version: Version | None, method: str = SUPERVISED, settings: Mapping[str, Any] | None = None
) -> TrainingWork:
    """The work of training on a version, with the automatic settings where none are given; a
    typical one for None."""
    if version is None:
        return DEFAULT_WORK
    settings = settings or automatic_for(version, method=method).settings
    batch_size, share = int(settings["batch_size"]), float(settings["replay_share"])
    train = max(version.counts.get("train", 0), 1)
    rows = version.pairs if method == DPO else train
    answers = 2 if method == DPO else 1
    tokens = answers * tokens_of(version) * rows // train
    practice = min(version.counts.get("validation", 0), MAX_VALIDATION_ROWS)
    read = practice * tokens // max(rows, 1)
    asked = min(practice, int(settings.get("validation_prompts", 0)))
    answer = tokens_per_answer(version)
    return TrainingWork(
        tokens=tokens,
        rows=rows,
        epochs=int(settings["epochs"]),
        batch_size=batch_size,
        rank=int(settings.get("rank", 16)),  # full fine-tuning has none
        replay_rows=replay_rows(batch_size, share),
        longest_rows=longest_rows(version, batch_size, int(settings["max_tokens"]), answers),
        replay_tokens=everyday_tokens(rows, share),
        measured_tokens=read + asked * tokens // max(rows, 1),
        answer_tokens=asked * answer,
        longest_answer=longest_answer(version, answer) if asked else 0,
        start_tokens=min(practice, START_ANSWERS) * answer,
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

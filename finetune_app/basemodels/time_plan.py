"""How long a training takes: its work, over the speed of the device that will train.

A speed counts training tokens (see training_work.py) a second. Only speeds of the same device are
used: of the model itself, at the number of tokens per step that is nearest, else of another model,
scaled by the parameters in linear layers, which is what a token costs. Otherwise it is a guess.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from finetune_app.basemodels.catalogue import STARTER, CatalogueEntry, entry_of
from finetune_app.basemodels.memory_plan import ModelShape
from finetune_app.basemodels.models import BaseModel, Speed
from finetune_app.basemodels.training_work import TrainingWork
from finetune_app.core.machine import Machine

GUESSED_SPEED = 300.0  # of the starter on a processor
GUESSED_CARD_SPEED = 6_000.0
FIXED_SECONDS = 20.0  # reading, loading, a rehearsal, the first answers, saving: of the starter
LOAD_BYTES_PER_SECOND = 0.4e9
MEASURED_SPREAD, SCALED_SPREAD, GUESSED_SPREAD = 1.4, 2.0, 4.0  # factors around the time
RECENT = 200  # speeds that are looked at


@dataclass(frozen=True)
class ExpectedSpeed:
    """Training tokens a second, and how far off the time may be, as a factor. measured: of this
    model on this device."""

    tokens_per_second: float
    spread: float
    measured: bool = False
    number_format: str = ""


@dataclass(frozen=True)
class ExpectedTime:
    """Seconds of the whole run; low and high say what is probable, ending early included."""

    seconds: float
    low: float
    high: float


def expected_time(shape: ModelShape, work: TrainingWork, speed: ExpectedSpeed) -> ExpectedTime:
    loading = FIXED_SECONDS + 2 * shape.parameters / LOAD_BYTES_PER_SECOND
    learning = work.total / speed.tokens_per_second
    return ExpectedTime(
        seconds=loading + learning,
        low=(loading + learning * work.earliest_end) / speed.spread,
        high=(loading + learning) * speed.spread,
    )


@dataclass(frozen=True)
class MeasuredSpeeds:
    """The speeds of training on one device, newest first."""

    device: str
    on_card: bool
    speeds: Sequence[Speed]

    @classmethod
    def read(cls, machine: Machine) -> "MeasuredSpeeds":
        found = Speed.objects.filter(what="training", device=machine.device)
        recent = found.select_related("base_model").order_by("-pk")[:RECENT]
        return cls(machine.device, machine.card is not None, list(recent))

    def expected(
        self, shape: ModelShape, work: TrainingWork, base_model: BaseModel | None
    ) -> ExpectedSpeed:
        """Of a model of this shape, which need not be installed."""
        own = [one for one in self.speeds if base_model and one.base_model_id == base_model.pk]
        if own:
            found = _nearest(own, work)
            return ExpectedSpeed(
                found.tokens_per_second, MEASURED_SPREAD, True, found.number_format
            )
        if self.speeds:
            found = _nearest(self.speeds, work)
            other = shape_of(entry_of(found.base_model.slug), found.base_model)
            return ExpectedSpeed(
                found.tokens_per_second * _cost(other) / _cost(shape),
                SCALED_SPREAD,
                number_format=found.number_format,
            )
        starter = entry_of(STARTER)
        assert starter is not None
        guess = GUESSED_CARD_SPEED if self.on_card else GUESSED_SPEED
        return ExpectedSpeed(guess * _cost(starter.shape) / _cost(shape), GUESSED_SPREAD)


def _nearest(speeds: Sequence[Speed], work: TrainingWork) -> Speed:
    """The newest of those whose steps were most like this run's in size: small steps are slower."""

    def distance(speed: Speed) -> float:
        if not speed.tokens_per_step:
            return math.inf
        return abs(round(math.log2(speed.tokens_per_step / max(work.tokens_per_step, 1))))

    return min(speeds, key=distance)


def _cost(shape: ModelShape) -> float:
    return max(shape.linear_parameters, 1)


def shape_of(entry: CatalogueEntry | None, base_model: BaseModel | None) -> ModelShape:
    """The shape in the catalogue, else the one found by the install."""
    if entry:
        return entry.shape
    if base_model is None:
        return ModelShape(0, 0, 0, 0)
    return ModelShape.known(base_model.parameters, base_model.shape)

"""The state of a run: its progress, which checkpoints store, and the objects it uses."""

from dataclasses import dataclass, field
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from worker.channel import Channel
from worker.template import TokenizedExample
from worker.training.data import Batches, DatasetRow
from worker.training.model_loader import AdaptedModel
from worker.training.optimizer import FlatAdamW
from worker.training.spec import TrainingSpec
from worker.training.steps import Loss


@dataclass
class State:
    """Progress of a training; a checkpoint stores it as JSON.

    No generator state is stored: the order of the examples follows from (seed, epoch), and
    dropout is seeded by (seed, step).
    """

    number_format: str
    token_budget: int
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    validation_loss: float | None = None
    best_loss: float | None = None
    best_step: int | None = None
    losses: list[float] = field(default_factory=list)
    """Training loss of the last steps, for their mean."""


@dataclass
class LastCheckpoint:
    """When this process last saved, so that a step is never saved twice."""

    step: int
    saved_at: float
    """time.monotonic()"""


@dataclass(frozen=True)
class Run:
    """Everything that a training needs, put together before the first step."""

    spec: TrainingSpec
    folder: Path
    channel: Channel
    adapted: AdaptedModel
    tokenizer: PreTrainedTokenizerBase
    loss: Loss
    optimizer: FlatAdamW
    train_examples: list[TokenizedExample]
    batches: Batches
    replay_examples: list[TokenizedExample]
    validation_examples: list[TokenizedExample]
    sample_rows: list[DatasetRow]
    last_checkpoint: LastCheckpoint

    @property
    def steps_per_epoch(self) -> int:
        return self.batches.steps_per_epoch

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.spec.epochs

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

"""The state of a run: its progress, which checkpoints store, and the objects it uses."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from finetune_app.basemodels.training_work import (
    FORWARD_COST,
    measurement_cost,
    validation_steps,
)
from worker.channel import Channel
from worker.training.data import Batches, count_tokens
from worker.training.data_parallel import Ranks
from worker.training.general_ability import text_windows
from worker.training.losses import Loss
from worker.training.model_loader import AdaptedModel
from worker.training.objectives import Objective
from worker.training.optimizer import FlatAdamW
from worker.training.replay.answers import ReplayExample
from worker.training.spec import TrainingSpec
from worker.training.validation import Validation
from worker.training.validation_answers import ValidationAnswers


@dataclass
class State:
    """Progress of a training; a checkpoint stores it as JSON.

    No generator state is stored: the order of the examples follows from (seed, epoch), and
    dropout is seeded by (seed, step).
    """

    number_format: str
    token_budget: int
    gradient_checkpointing: bool = False
    row_limit: int = 0
    """Most tokens of a row, where the memory is too small for longer ones; 0 for no limit."""
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    validation_seconds: float = 0.0
    best_step: int | None = None
    losses: list[float] = field(default_factory=list)
    """Training loss of the last steps, for their mean."""
    validations: list[Validation] = field(default_factory=list)
    general_base_loss: float | None = None
    """Of the base model on the everyday text; see general_ability.py."""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "State":
        """Fields of earlier versions that no longer exist are left out."""
        known = {name: stored[name] for name in stored if name in {f.name for f in fields(cls)}}
        validations = [Validation(**one) for one in stored.get("validations", [])]
        return cls(**(known | {"validations": validations}))


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
    objective: Objective[Any]
    optimizer: FlatAdamW
    train_examples: Sequence[Any]
    """TokenizedExample or PreferencePair, as the objective wants them."""
    row_numbers: Sequence[int]
    """Of the train examples, as shown on the pages."""
    batches: Batches
    replay_examples: list[ReplayExample]
    validation_examples: Sequence[Any]
    validation_answers: ValidationAnswers
    last_checkpoint: LastCheckpoint
    ranks: Ranks

    @property
    def steps_per_epoch(self) -> int:
        return self.batches.steps_per_epoch

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.spec.epochs

    @cached_property
    def validation_steps(self) -> frozenset[int]:
        """The steps at which it is measured."""
        replay, spec = self.replay_examples, self.spec
        tokens = spec.epochs * count_tokens(self.train_examples)
        if replay:
            per_example = spec.replay_share / (1 - spec.replay_share)
            mean = count_tokens(replay) / len(replay)
            tokens += round(spec.epochs * len(self.train_examples) * per_example * mean)
        cost = self.measurement_cost + FORWARD_COST * self.general_windows.numel()
        return frozenset(validation_steps(self.total_steps, spec.epochs, tokens, cost))

    @cached_property
    def measurement_cost(self) -> float:
        """Of one measurement, without the everyday text."""
        answers = self.validation_answers
        return measurement_cost(
            count_tokens(self.validation_examples),
            answers.prompt_tokens,
            answers.answer_tokens,
            answers.longest_answer,
        )

    @cached_property
    def general_windows(self) -> torch.Tensor:
        """The everyday text that is read at each measurement; see general_ability.py."""
        return text_windows(self.tokenizer, self.spec.max_tokens, self.measurement_cost)

    def metadata(self, state: State, step: int | None) -> dict[str, Any]:
        """What finetune.json says of the adapter of a step."""
        return {
            "base_model": self.spec.base_model.name,
            "number_format": state.number_format,
            "best_step": state.best_step,
            "step": step,
            "settings": json.loads(json.dumps(asdict(self.spec), default=str)),
        }

    @property
    def kept_steps(self) -> Path:
        return self.folder / "steps"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

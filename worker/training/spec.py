"""The settings of a training, frozen before it starts.

A training started from a page gets its values from basemodels/automatic_settings.py; the defaults
here are for callers that name none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from finetune_app.core.thinking import NO, THOUGHT_TOKENS
from worker.channel import UserError

TUNINGS = ("lora", "qlora", "full")


@dataclass(frozen=True)
class TrainingSpec:
    """Every setting of a training, and what it does."""

    base_model: Path
    """Folder of the base model: safetensors and tokenizer."""
    version: Path
    """The frozen rows, JSONL; only those of the splits train and validation are read."""
    method: str = "supervised"
    """supervised: the rows' answers are learned. dpo: in rows with a worse answer beside it, the
    better one becomes the likelier one (see dpo.py)."""
    start_adapter: Path | None = None
    """Folder of an earlier adapter of the same base model, rank and alpha, which is trained
    further; None for a new one."""
    beta: float = 0.1
    """Of dpo: the higher, the closer it stays to the model it started from."""
    thinking: str = "no"
    """Whether the model thinks before it answers: no, short or yes (finetune_app/core/thinking.py).
    Without, the thoughts in the rows are not learned."""
    tuning: str = "lora"
    """lora trains an adapter beside the base model's weights. qlora does the same beside weights
    in 4-bit (see quantisation.py), which need about a quarter of the memory. full trains every
    weight; what is exported is then a whole model."""
    measure: dict[str, Any] = field(default_factory=dict)
    """Success measure {"kind", "settings"} with which sample answers are scored."""
    epochs: int = 3
    """Most passes over the training examples; see `patience`."""
    patience: int = 3
    """The run ends early when neither the measure nor the loss has improved in this many
    measurements on the validation examples (see validation.py)."""
    batch_size: int = 8
    """Examples per update, however many of them fit in memory at a time."""
    learning_rate: float = 3e-4
    """Peak learning rate of AdamW, reached at the end of the warm-up."""
    rank: int = 16
    """Rank of the adapter's matrices: its capacity."""
    alpha: int = 32
    """The adapter's output is scaled by alpha / rank."""
    dropout: float = 0.0
    """Dropout probability of the adapter's inputs."""
    targets: str | list[str] = "all-linear"
    """PEFT target_modules: all linear layers but the LM head, or their names."""
    warmup_ratio: float = 0.1
    """Share of the steps over which the learning rate rises from zero."""
    schedule: str = "cosine"
    """Learning rate after the warm-up: cosine, linear or constant."""
    replay_share: float = 0.125
    """Share of all examples read that are everyday conversation as the base model answers it,
    against forgetting; 0 turns it off (see replay/)."""
    weight_decay: float = 0.0
    """Decoupled weight decay of AdamW."""
    max_grad_norm: float = 1.0
    """Gradients with a larger norm are scaled down to this one."""
    max_tokens: int = 1024
    """Longer conversations lose their earliest turns; longer single questions are not learned."""
    seed: int = 17
    """Seed of the adapter's initial weights, the order of the examples, and dropout."""
    number_format: str = "auto"
    """bf16, fp32, or auto: whichever this machine multiplies faster; with qlora, bf16."""
    processes: int = 0
    """That share every update (see data_parallel.py); 0 is one for each graphics card, or one."""
    gradient_checkpointing: str = "auto"
    """on: what the layers compute is computed again in the backward pass instead of being kept:
    slower, with far less memory. off: never. auto: where the memory is too small otherwise."""
    save_seconds: float = 30.0
    """Longest time between checkpoints, so the most work that a crash can lose."""
    validation_prompts: int = 64
    """Number of validation prompts whose answers are scored by the measure, to choose the best
    step; 0 chooses by the loss alone."""
    sample_prompts: int = 2
    """Number of answers to them that are shown, to see progress."""
    max_new_tokens: int = 256
    """Longest of these answers, in tokens."""

    @property
    def thinks(self) -> bool:
        return self.thinking != NO

    def __post_init__(self) -> None:
        for name, right, rule in self._rules():
            if not right:
                raise UserError(
                    "bad_data",
                    f"The setting “{name}” is {getattr(self, name)!r}, but it {rule}. "
                    "Correct it in the training's settings.",
                )

    @classmethod
    def from_json(cls, spec: Mapping[str, Any]) -> "TrainingSpec":
        """Validate a frozen spec. Raises UserError, also for unknown settings."""
        unknown = set(spec) - {f.name for f in fields(cls)}
        if unknown:
            raise UserError("bad_data", f"Unknown training settings: {', '.join(sorted(unknown))}.")
        missing = {"base_model", "version"} - set(spec)
        if missing:
            raise UserError("bad_data", f"Training settings missing: {', '.join(sorted(missing))}.")
        names = ("base_model", "version", "start_adapter")
        paths = {name: Path(spec[name]) for name in names if spec.get(name)}
        return cls(**{**spec, **paths})

    def _rules(self) -> list[tuple[str, bool, str]]:
        """(setting, whether it holds, the rule in words)."""
        return [
            ("tuning", self.tuning in TUNINGS, f"must be one of {', '.join(TUNINGS)}"),
            ("thinking", self.thinking in THOUGHT_TOKENS, "must be no, short or yes"),
            (
                "thinking",
                self.thinking == NO or self.method != "dpo",
                "must be no where preferences are learned",
            ),
            (
                "start_adapter",
                self.start_adapter is None or self.tuning != "full",
                "cannot be continued where every weight is trained",
            ),
            ("epochs", _whole(self.epochs, 1), "must be a whole number of at least 1"),
            ("batch_size", _whole(self.batch_size, 1), "must be a whole number of at least 1"),
            ("rank", _whole(self.rank, 1), "must be a whole number of at least 1"),
            ("alpha", _whole(self.alpha, 1), "must be a whole number of at least 1"),
            ("max_tokens", _whole(self.max_tokens, 8), "must be a whole number of at least 8"),
            ("seed", _whole(self.seed, 0), "must be a whole number of at least 0"),
            ("processes", _whole(self.processes, 0), "must be a whole number of at least 0"),
            ("patience", _whole(self.patience, 1), "must be a whole number of at least 1"),
            ("validation_prompts", _whole(self.validation_prompts, 0), "must not be negative"),
            ("sample_prompts", _whole(self.sample_prompts, 0), "must not be negative"),
            ("max_new_tokens", _whole(self.max_new_tokens, 1), "must be at least 1"),
            ("method", self.method in ("supervised", "dpo"), "must be supervised or dpo"),
            ("beta", self.beta > 0, "must be above 0"),
            ("learning_rate", 0 < self.learning_rate < 1, "must lie between 0 and 1"),
            ("dropout", 0 <= self.dropout < 1, "must be at least 0 and below 1"),
            ("warmup_ratio", 0 <= self.warmup_ratio < 1, "must be at least 0 and below 1"),
            ("replay_share", 0 <= self.replay_share <= 0.5, "must lie between 0 and 0.5"),
            ("weight_decay", 0 <= self.weight_decay < 1, "must be at least 0 and below 1"),
            ("max_grad_norm", self.max_grad_norm > 0, "must be above 0"),
            ("save_seconds", self.save_seconds > 0, "must be above 0"),
            (
                "schedule",
                self.schedule in ("cosine", "linear", "constant"),
                "must be cosine, linear or constant",
            ),
            (
                "gradient_checkpointing",
                self.gradient_checkpointing in ("auto", "on", "off"),
                "must be auto, on or off",
            ),
            (
                "number_format",
                self.number_format in ("auto", "bf16", "fp32"),
                "must be auto, bf16 or fp32",
            ),
        ]


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least

"""Automatic training settings, each with a one-sentence reason."""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

SUPERVISED, DPO = "supervised", "dpo"  # see `method` in worker/training/spec.py
LORA, QLORA, FULL = "lora", "qlora", "full"  # see `tuning` there
FEW_ROWS, SOME_ROWS, MANY_ROWS = 100, 4_000, 25_000
# Most passes. A run ends earlier by itself (worker/training/validation.py).
DEFAULT_EPOCHS, FEW_EPOCHS, MAX_EPOCHS = 8, 3, 25
RATE, RATE_WIDTH, RATE_POWER = 5e-4, 2000, 0.78
# Of LoRA's rate: LoRA wants about ten times full fine-tuning's ("LoRA Without Regret", Thinking
# Machines, 2025; https://thinkingmachines.ai/blog/lora/).
FULL_RATE_SHARE = 0.1
DPO_RATE_SHARE, DPO_EPOCHS = 0.1, 6
MIN_TOKENS, MAX_TOKENS = 128, 4096  # of the longest example
PRESETS = Path(__file__).with_name("training_presets.toml")


@dataclass(frozen=True)
class SettingChoice:
    """One setting: its name in the training spec, its value, and why."""

    name: str
    value: Any
    why: str


@dataclass(frozen=True)
class AutomaticSettings:
    """`settings` are parts of a training spec; `reasons` has a sentence for each of them."""

    settings: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    steps: int = 0  # optimizer steps in total


def automatic_settings(
    rows: int,
    longest_tokens: int,
    hidden: int = 0,
    method: str = SUPERVISED,
    tuning: str = LORA,
) -> AutomaticSettings:
    """Settings for `rows` training rows of at most `longest_tokens` tokens, on a base model whose
    layers are `hidden` wide (0 if unknown). A pure function."""
    rows = max(1, rows)
    batch = _batch_size(rows)
    share = FULL_RATE_SHARE if tuning == FULL else 1.0
    if method == DPO:
        epochs, rate = _dpo_epochs(rows), _dpo_rate(hidden, share)
    else:
        epochs, rate = _epochs(rows), _rate(hidden, share)
    changes = presets("full") if tuning == FULL else [_rank(rows), *presets("adapter")]
    choices = [epochs, batch, rate, *presets(method), *changes, *presets("every")]
    choices.append(_length(longest_tokens))
    return AutomaticSettings(
        settings={choice.name: choice.value for choice in choices},
        reasons={choice.name: choice.why for choice in choices},
        steps=steps(rows, batch.value, epochs.value),
    )


def steps(rows: int, batch_size: int, epochs: int) -> int:
    """Optimizer steps in total. The last batch of an epoch may be smaller."""
    return -(-rows // batch_size) * epochs


@cache
def presets(kind: str) -> list[SettingChoice]:
    """The settings of training_presets.toml for a kind of training: every, adapter, full,
    supervised or dpo."""
    found = tomllib.loads(PRESETS.read_text("utf-8"))[kind]
    return [SettingChoice(name, one["value"], one["why"]) for name, one in found.items()]


def _epochs(rows: int) -> SettingChoice:
    """At most eight epochs; more for small datasets, fewer for large ones.

    Few rows get more: after a dozen steps the tuned model would hardly differ from the base model.
    """
    if rows > MANY_ROWS:
        value = max(1, MANY_ROWS // rows)
        return SettingChoice(
            "epochs", value, f"With {rows:,} examples, {_passes(value)} is enough."
        )
    if rows > SOME_ROWS:
        why = f"With {rows:,} examples, {_passes(FEW_EPOCHS)} are enough; it may stop earlier."
        return SettingChoice("epochs", FEW_EPOCHS, why)
    if FEW_ROWS // rows > DEFAULT_EPOCHS:
        value = min(MAX_EPOCHS, FEW_ROWS // rows)
        why = f"With only {rows} examples, {_passes(value)} give the model enough practice."
        return SettingChoice("epochs", value, why)
    return SettingChoice(
        "epochs",
        DEFAULT_EPOCHS,
        "At most eight passes over the examples; it stops when another would bring nothing.",
    )


def _batch_size(rows: int) -> SettingChoice:
    value = 4 if rows < 40 else 8 if rows < 4000 else 16
    reasons = {
        4: "Four examples an update, so that few examples still make many updates.",
        8: "Eight examples an update: steady, and small enough for this machine.",
        16: "Sixteen examples an update, because there are plenty.",
    }
    return SettingChoice("batch_size", value, reasons[value])


def _rate(hidden: int, share: float) -> SettingChoice:
    """Wider models learn at a lower rate: 5e-4 x (2000 / width) ^ 0.78, which is Thinking Machines'
    rule for LoRA ("LoRA Without Regret", 2025), measured on the starter
    (docs/benchmarks/learning.md)."""
    return SettingChoice(
        "learning_rate",
        _rate_for(hidden, share),
        "By the width of the model: the wider, the gentler. It rises first, then falls.",
    )


def _rate_for(hidden: int, share: float) -> float:
    value = share * RATE * (RATE_WIDTH / (hidden or RATE_WIDTH)) ** RATE_POWER
    return float(f"{value:.2g}")


def _dpo_rate(hidden: int, share: float) -> SettingChoice:
    return SettingChoice(
        "learning_rate",
        _rate_for(hidden, share * DPO_RATE_SHARE),
        "A tenth of what examples get: it should change its manner, not what it knows.",
    )


def _dpo_epochs(rows: int) -> SettingChoice:
    if rows > SOME_ROWS:
        return SettingChoice("epochs", 1, f"With {rows:,} pairs, one pass is enough.")
    return SettingChoice(
        "epochs", DPO_EPOCHS, "A few passes; the moment that does best on practice pairs is kept."
    )


def _rank(rows: int) -> SettingChoice:
    if rows > MANY_ROWS:
        return SettingChoice("rank", 64, "Many examples hold more than a small adapter can.")
    if rows > SOME_ROWS:
        return SettingChoice("rank", 32, "With thousands of examples, a larger adapter pays.")
    return SettingChoice(
        "rank", 16, "Room enough for one task, and the adapter stays a few megabytes."
    )


def _length(longest_tokens: int) -> SettingChoice:
    """Maximum tokens: the longest row rounded up to 64, within the memory of a small machine."""
    rounded = -(-longest_tokens // 64) * 64
    value = min(MAX_TOKENS, max(MIN_TOKENS, rounded))
    if longest_tokens > MAX_TOKENS:
        why = (
            f"Your longest example has up to {longest_tokens:,} tokens; longer ones than "
            f"{MAX_TOKENS:,} lose their earliest turns, or are not learned."
        )
    else:
        why = f"Your longest example has at most {longest_tokens:,} tokens, so all fit whole."
    return SettingChoice("max_tokens", value, why)


def _passes(count: int) -> str:
    return "one pass" if count == 1 else f"{count} passes"

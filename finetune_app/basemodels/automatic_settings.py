"""Automatic training settings, each with a one-sentence reason."""

from dataclasses import dataclass, field
from typing import Any

SMALL_MODEL = 500_000_000  # parameters
MIN_STEPS = 80
FEW_ROWS, MANY_ROWS = 100, 25_000
DEFAULT_EPOCHS, MAX_EPOCHS = 3, 25
RANK, ALPHA_PER_RANK = 16, 2
MIN_TOKENS, MAX_TOKENS = 128, 4096  # of the longest example


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


def automatic_settings(rows: int, longest_tokens: int, parameters: int = 0) -> AutomaticSettings:
    """Settings for `rows` training rows of at most `longest_tokens` tokens, on a base model with
    `parameters` parameters (0 if unknown: treated as small). A pure function."""
    rows = max(1, rows)
    batch = _batch_size(rows)
    epochs = _epochs(rows, batch.value)
    choices = [epochs, batch, _rate(parameters), *_fixed(), _length(longest_tokens)]
    return AutomaticSettings(
        settings={choice.name: choice.value for choice in choices},
        reasons={choice.name: choice.why for choice in choices},
        steps=steps(rows, batch.value, epochs.value),
    )


def steps(rows: int, batch_size: int, epochs: int) -> int:
    """Optimizer steps in total. The last batch of an epoch may be smaller."""
    return -(-rows // batch_size) * epochs


def _epochs(rows: int, batch_size: int) -> SettingChoice:
    """Three epochs; more for small datasets, fewer for large ones.

    The rule of thumb of OpenAI's cookbook, with a minimum number of steps: after a dozen steps
    the tuned model would hardly differ from the base model.
    """
    if rows > MANY_ROWS:
        value = max(1, MANY_ROWS // rows)
        return SettingChoice(
            "epochs", value, f"With {rows:,} examples, {_passes(value)} is enough."
        )
    if rows * DEFAULT_EPOCHS < FEW_ROWS:
        value = min(MAX_EPOCHS, max(2 * DEFAULT_EPOCHS, FEW_ROWS // rows))
        why = f"With only {rows} examples, {_passes(value)} give the model enough practice."
        return SettingChoice("epochs", value, why)
    epoch_steps = -(-rows // batch_size)
    value = min(max(DEFAULT_EPOCHS, -(-MIN_STEPS // epoch_steps)), 2 * DEFAULT_EPOCHS)
    if value > DEFAULT_EPOCHS:
        why = f"With {rows:,} examples, {_passes(value)} make enough updates to learn from."
    else:
        why = "Three passes over the examples: usually enough to learn, seldom enough to parrot."
    return SettingChoice("epochs", value, why)


def _batch_size(rows: int) -> SettingChoice:
    value = 4 if rows < 40 else 8 if rows < 4000 else 16
    reasons = {
        4: "Four examples an update, so that few examples still make many updates.",
        8: "Eight examples an update: steady, and small enough for this machine.",
        16: "Sixteen examples an update, because there are plenty.",
    }
    return SettingChoice("batch_size", value, reasons[value])


def _rate(parameters: int) -> SettingChoice:
    """The learning rate measured for the starter model (docs/decisions/0012); half of it for
    larger models, where 2e-4 to 3e-4 is common."""
    if parameters <= SMALL_MODEL:
        why = "A brisk rate for small models, measured on the starter; it rises first, then falls."
        return SettingChoice("learning_rate", 6e-4, why)
    return SettingChoice(
        "learning_rate",
        3e-4,
        "A rate that works for small adapters on most models; it rises first, then falls.",
    )


def _fixed() -> list[SettingChoice]:
    return [
        SettingChoice(
            "rank", RANK, "Room enough for one task, and the adapter stays a few megabytes."
        ),
        SettingChoice("alpha", ALPHA_PER_RANK * RANK, "Twice the rank: the usual strength."),
        SettingChoice(
            "dropout", 0.0, "Not needed: the version that does best on validation is kept."
        ),
        SettingChoice("targets", "all-linear", "Every layer adapts a little, which learns best."),
        SettingChoice(
            "warmup_ratio", 0.1, "The first tenth is taken gently, so that nothing is undone."
        ),
        SettingChoice("schedule", "cosine", "Smaller and smaller corrections towards the end."),
        SettingChoice(
            "replay_share",
            0.125,
            "About one row in eight is everyday conversation the model already masters, so that "
            "it does not forget.",
        ),
        SettingChoice("weight_decay", 0.0, "Short training on few weights needs no extra brake."),
        SettingChoice(
            "number_format", "auto", "Whichever this processor turns out to be faster with."
        ),
    ]


def _length(longest_tokens: int) -> SettingChoice:
    """Maximum tokens: the longest row rounded up to 64, within the memory of a small machine."""
    rounded = -(-longest_tokens // 64) * 64
    value = min(MAX_TOKENS, max(MIN_TOKENS, rounded))
    if longest_tokens > MAX_TOKENS:
        why = (
            f"Your longest example has up to {longest_tokens:,} tokens; longer ones than "
            f"{MAX_TOKENS:,} lose the beginning of their prompt."
        )
    else:
        why = f"Your longest example has at most {longest_tokens:,} tokens, so all fit whole."
    return SettingChoice("max_tokens", value, why)


def _passes(count: int) -> str:
    return "one pass" if count == 1 else f"{count} passes"

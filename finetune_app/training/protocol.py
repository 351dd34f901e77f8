"""The events and the result of a training's child process, shared by the web and the worker."""

from typing import NotRequired, TypedDict

# Where a run leaves what was learned: an adapter, or a model of which every weight was trained.
ADAPTER, MODEL = "adapter", "model"

# What a run compares itself with, kept in its folder for when it goes on.
EVERYDAY = "everyday.json"  # the base model's answers to everyday prompts
REFERENCE = "reference.json"  # what the model preferred before it learned from pairs


class CurvePoint(TypedDict):
    """Event `point`: one step of the learning curve; step 0 is the base model."""

    step: int
    epoch: float
    loss: float | None
    """Mean training loss per learned token of this step; None at step 0."""
    accuracy: float | None
    """Share of this step's learned tokens that were the model's likeliest, or of its pairs of which
    the better answer was the likelier one; None at step 0."""
    validation_loss: float | None
    """Mean loss on the validation examples; None at steps without validation."""
    validation_accuracy: float | None
    """`accuracy` on the validation examples; None at steps without validation."""
    validation_score: float | None
    """Mean of the goal's measure over the answered validation prompts, 0 to 1; None where no
    measure can tell."""
    general_ability: float | None
    """Perplexity of the base model over this step's, on everyday text; None where not measured."""
    tokens_per_second: float | None
    memory_bytes: int | None
    """None of a measurement that is told again."""


class SampleAnswer(TypedDict):
    """The model's answer to a validation prompt; `passed` is None where no measure can tell."""

    prompt: str
    wanted: str
    answer: str
    passed: bool | None


class SampleEvent(SampleAnswer):
    """Event `sample`: answer to the prompt number `index` (from 0) after a step."""

    step: int
    index: int
    why: NotRequired[str]
    """What is wrong with the answer; the page asks the measure where it is not given."""


class TrainingResult(TypedDict):
    """Result of a run. Only the first three are there if it was stopped before its first step."""

    adapter: str | None
    """Folder of the adapter, relative to the job's; None if there is none."""
    steps: int
    stopped: bool
    model: NotRequired[str | None]
    """Folder of the model of which every weight was trained; None if there is none."""
    train_loss: NotRequired[float | None]
    validation_loss: NotRequired[float | None]
    """Of `best_step`, the step whose adapter is exported."""
    validation_score: NotRequired[float | None]
    best_step: NotRequired[int | None]
    kept_steps: NotRequired[dict[str, str]]
    """Steps beside the best one whose adapters are kept, and the hash of each one's weights."""
    number_format: NotRequired[str]
    tokens: NotRequired[int]
    work: NotRequired[float]
    """Of the updates, in training tokens: everyday examples count, too."""
    seconds: NotRequired[float]
    """Of the updates alone, without validation and samples."""
    validation_seconds: NotRequired[float]
    ended_early: NotRequired[bool]
    """It had stopped improving before its last epoch."""
    peak_memory_bytes: NotRequired[int]
    machine: NotRequired[str]
    """Cores, memory and graphics card in words; added by the handler."""
    sha256: NotRequired[str]
    """Of the weights that were learned; added by the handler, as is the next."""
    size: NotRequired[int]
    """Bytes of what was learned, with its kept steps."""

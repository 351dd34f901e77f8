"""The whole run, from a frozen spec to an adapter. Running it again continues it."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from worker.channel import Channel, Job, UserError
from worker.template import TokenizedExample, load_tokenizer
from worker.training import checkpoints, data
from worker.training.adapter_export import adapter_tensors, export
from worker.training.llama_loss import LlamaLoss, is_supported
from worker.training.memory import memory_bytes, peak_memory_bytes
from worker.training.model_loader import AdaptedModel, context, fastest_number_format, load
from worker.training.optimizer import FlatAdamW, learning_rate_at
from worker.training.replay import replay_examples, replay_indices
from worker.training.sample_answers import generate_samples
from worker.training.spec import Spec
from worker.training.steps import (
    CausalLMLoss,
    Loss,
    StepResult,
    is_out_of_memory,
    mean_loss,
    training_step,
)

VALIDATION_ROWS = 64  # enough for a curve; the evaluation step measures properly
VALIDATION_POINTS = 8
TOKEN_BUDGET = 4096  # padded tokens at a time; halved when memory runs out


@dataclass
class State:
    """Where a training stands; a checkpoint holds it as JSON.

    There is no generator state in it: the order of the rows follows from (seed, epoch), and
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
    at: float


@dataclass(frozen=True)
class Run:
    """Everything a training works with, put together before the first step."""

    spec: Spec
    folder: Path
    channel: Channel
    loaded: AdaptedModel
    tokenizer: Any
    loss: Loss
    optimizer: FlatAdamW
    train_examples: list[TokenizedExample]
    batches: data.Batches
    replay_examples: list[TokenizedExample]
    validation_examples: list[TokenizedExample]
    sample_rows: list[data.DatasetRow]
    last_checkpoint: LastCheckpoint

    @property
    def steps_an_epoch(self) -> int:
        return self.batches.an_epoch

    @property
    def total_steps(self) -> int:
        return self.steps_an_epoch * self.spec.epochs

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"


def run(job: Job, channel: Channel) -> dict[str, Any]:
    """Train an adapter in `job.folder`, from its newest good checkpoint if there is one.

    Returns the result described in the training protocol. Raises `UserError` for what a person
    can mend and `LeaseLost` when another process may own the job.
    """
    spec = Spec.from_json(job.spec)
    try:
        training, state = prepare(spec, job.folder, channel)
    except data.TokenizationStopped:
        return result_without_steps(job.folder)
    channel.emit("phase", phase="training", message="Learning from your examples")
    while state.step < training.total_steps:
        channel.check()
        if channel.stopping():
            save(training, state)
            return result(training, state, stopped=True)
        run_step(training, state)
        waited = time.monotonic() - training.last_checkpoint.at
        if waited > spec.save_seconds or ends_epoch(training, state):
            save(training, state)
    return export_best(training, state)


def prepare(spec: Spec, folder: Path, channel: Channel) -> tuple[Run, State]:
    """Read the rows, load the model, and go back to the newest good checkpoint."""
    channel.emit("phase", phase="reading", message="Reading your examples")
    tokenizer = load_tokenizer(spec.base_model)
    most = context(spec.base_model) or spec.max_tokens
    spec = replace(spec, max_tokens=min(spec.max_tokens, most))
    rows = data.read_rows(spec.version, "train")
    held_rows = data.pick(data.read_rows(spec.version, "validation"), VALIDATION_ROWS, spec.seed)
    train_examples = data.tokenize_rows(rows, tokenizer, spec.max_tokens, channel)
    held_out = data.tokenize_rows(held_rows, tokenizer, spec.max_tokens)
    if not train_examples:
        raise UserError("bad_data", "There are no rows to train on. Add examples, then freeze.")
    for warning in data.warnings(train_examples):
        channel.emit("warning", text=warning)

    channel.emit("phase", phase="loading", message="Loading the model")
    saved = checkpoints.newest(folder / "checkpoints")
    if saved:
        state = State(**saved.state)
    else:
        state = State(choose_number_format(spec, channel), TOKEN_BUDGET)
    everyday = everyday_rows(spec, state.number_format, folder, channel)
    loaded = load(spec, state.number_format)
    loaded.model.train()
    trainable = [p for p in loaded.model.parameters() if p.requires_grad]
    optimizer = FlatAdamW(trainable, spec.weight_decay)
    checkpoints.require_space(folder, optimizer.checkpoint_bytes)
    if saved:
        optimizer.restore(saved.optimizer)
        channel.emit("log", text=f"Continuing from step {state.step}.")
    training = Run(
        spec,
        folder,
        channel,
        loaded,
        tokenizer,
        choose_loss(loaded),
        optimizer,
        train_examples,
        data.Batches(train_examples, spec.batch_size, spec.seed),
        everyday,
        held_out,
        held_rows[: spec.sample_prompts],
        LastCheckpoint(state.step if saved else -1, time.monotonic()),
    )
    return training, state


def result_without_steps(folder: Path) -> dict[str, Any]:
    """What a stop leaves that came before this process took a step: the newest checkpoint."""
    saved = checkpoints.newest(folder / "checkpoints")
    return {"adapter": None, "steps": saved.state["step"] if saved else 0, "stopped": True}


def choose_number_format(spec: Spec, channel: Channel) -> str:
    if spec.number_format != "auto":
        return spec.number_format
    chosen = fastest_number_format(spec.base_model)
    channel.emit("log", text=f"Number format {chosen}: the faster one that fits here.")
    return chosen


def everyday_rows(
    spec: Spec, number_format: str, folder: Path, channel: Channel
) -> list[TokenizedExample]:
    """What keeps the model from forgetting, unless it was turned off."""
    if not spec.replay_share:
        return []
    return replay_examples(spec.base_model, number_format, folder, channel)


def choose_loss(loaded: AdaptedModel) -> Loss:
    """The hand-written way for the models it knows, the general way for all others."""
    return LlamaLoss(loaded.model) if is_supported(loaded.model) else CausalLMLoss(loaded.model)


def run_step(training: Run, state: State) -> None:
    """One step, then whatever is due after it: samples, validation, a report."""
    start = time.monotonic()
    learned = take_step(training, state)
    seconds = time.monotonic() - start
    state.step += 1
    state.tokens += learned.tokens
    state.seconds += seconds
    state.losses = [*state.losses, learned.loss][-20:]
    state.validation_loss = None
    training.channel.emit("progress", done=state.step, total=training.total_steps, unit="steps")
    if state.step == 1:
        evaluate_base_model(training, state)
    if ends_epoch(training, state):
        show_samples(training, state)
    if state.step in validation_steps(training.total_steps, training.steps_an_epoch):
        validate(training, state)
    report(training, state, learned.loss, learned.tokens / seconds)


def evaluate_base_model(training: Run, state: State) -> None:
    """Where the curve and the sample answers begin: the base model, before it learned anything.

    Looked at with the adapter off once a step is done, so that a person who pressed the button
    sees the learning begin and does not wait for this first.
    """
    before = replace(state, step=0)
    with training.loss.without_adapter():
        show_samples(training, before)
        before.validation_loss = compute_validation_loss(training, state)
    report(training, before, loss=None, rate=None)


def take_step(training: Run, state: State) -> StepResult:
    """One update from the batch that is due."""
    spec = training.spec
    rows = training.batches.at(state.step)
    beside = replay_indices(
        state.step, spec.batch_size, spec.replay_share, len(training.replay_examples), spec.seed
    )
    everyday = [training.replay_examples[row] for row in beside]
    rate = learning_rate_at(
        state.step, training.total_steps, spec.learning_rate, spec.warmup_ratio, spec.schedule
    )

    def attempt() -> StepResult:
        torch.manual_seed((spec.seed * 1_000_003 + state.step) % 2**63)
        training.optimizer.zero_gradients()
        return training_step(
            training.loss,
            training.optimizer,
            training.train_examples,
            rows,
            everyday=everyday,
            token_budget=state.token_budget,
            learning_rate=rate,
            max_norm=spec.max_grad_norm,
        )

    longest = max(
        len(row.input_ids) for row in [*(training.train_examples[n] for n in rows), *everyday]
    )
    return retry_in_smaller_parts(training, state, longest, longest * len(rows), attempt)


def retry_in_smaller_parts(
    training: Run, state: State, longest: int, whole: int, attempt: Callable[[], Any]
) -> Any:
    """Try again in smaller parts for as long as memory runs out.

    `longest` is the longest row, `whole` everything the attempt might do at once, in tokens.
    """
    while True:
        try:
            return attempt()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reduce_token_budget(training, state, longest, min(whole, state.token_budget), error)


def reduce_token_budget(
    training: Run, state: State, longest: int, at_once: int, error: Exception
) -> None:
    """Halve what is computed at a time, or say plainly that one row alone is too much."""
    if at_once <= longest:
        raise UserError(
            "out_of_memory",
            f"The memory is not enough for a single row of {longest} tokens. Close other "
            "programs, allow shorter rows in the settings, or choose a smaller base model.",
        ) from error
    state.token_budget = max(at_once // 2, 1)
    training.channel.emit(
        "warning",
        text="Memory ran out, so each step now works through its rows in smaller parts. The "
        "result is the same; it takes a little longer.",
    )


def validation_steps(total: int, steps_an_epoch: int) -> set[int]:
    """About eight points over the run, and every epoch's end."""
    ends = set(range(steps_an_epoch, total + 1, steps_an_epoch))
    spread = {round(total * i / VALIDATION_POINTS) for i in range(VALIDATION_POINTS + 1)}
    near = max(1, total // (4 * VALIDATION_POINTS))
    return ends | {s for s in spread if all(abs(s - end) >= near for end in ends)}


def ends_epoch(training: Run, state: State) -> bool:
    return state.step % training.steps_an_epoch == 0


def validate(training: Run, state: State) -> None:
    """Loss on held-out rows; the best so far is kept as a checkpoint."""
    loss = state.validation_loss = compute_validation_loss(training, state)
    if loss is not None and (state.best_loss is None or loss < state.best_loss):
        state.best_loss, state.best_step = loss, state.step
        save(training, state)


def compute_validation_loss(training: Run, state: State) -> float | None:
    """None where there are no held-out rows, or when the loss is not a number."""
    if not training.validation_examples:
        return None
    longest = max(len(example.input_ids) for example in training.validation_examples)

    def attempt() -> float:
        return mean_loss(
            training.loss, training.validation_examples, state.token_budget, training.loaded.device
        )

    model = training.loaded.model
    model.eval()
    try:
        loss: float = retry_in_smaller_parts(training, state, longest, state.token_budget, attempt)
    finally:
        model.train()
    return loss if math.isfinite(loss) else None


def show_samples(training: Run, state: State) -> None:
    samples = generate_samples(
        training.loaded, training.tokenizer, training.sample_rows, training.spec
    )
    for index, sample in enumerate(samples):
        training.channel.emit("sample", step=state.step, index=index, **asdict(sample))


def report(training: Run, state: State, loss: float | None, rate: float | None) -> None:
    training.channel.emit(
        "point",
        step=state.step,
        epoch=round(state.step / training.steps_an_epoch, 4),
        loss=loss,
        validation_loss=state.validation_loss,
        tokens_per_second=rate and round(rate, 1),
        memory_bytes=memory_bytes(),
    )


def save(training: Run, state: State) -> None:
    """A checkpoint of this step, unless somebody else may be writing by now."""
    if training.last_checkpoint.step == state.step:
        return
    training.channel.check()
    name = checkpoints.save(
        training.checkpoints,
        state.step,
        adapter_tensors(training.loaded),
        training.optimizer.tensors(),
        asdict(state),
    )
    training.last_checkpoint.step, training.last_checkpoint.at = state.step, time.monotonic()
    checkpoints.tidy(training.checkpoints, state.best_step)
    training.channel.emit("checkpoint", step=state.step, name=name)


def export_best(training: Run, state: State) -> dict[str, Any]:
    """Write the adapter of the best step as others load it."""
    training.channel.emit("phase", phase="saving", message="Saving what was learned")
    training.channel.check()
    best = training.checkpoints / checkpoints.name_of(state.best_step or 0)
    if state.best_step is not None and checkpoints.is_complete(best):
        weights = load_file(best / "adapter.safetensors")
    else:  # no validation rows: the last step is all that is known
        state = replace(state, best_step=state.step)
        weights = adapter_tensors(training.loaded)
    about = {
        "base_model": training.spec.base_model.name,
        "number_format": state.number_format,
        "best_step": state.best_step,
        "settings": json.loads(json.dumps(asdict(training.spec), default=str)),
    }
    export(training.folder / "adapter", training.loaded, weights, training.tokenizer, about)
    return result(training, state, stopped=False)


def result(training: Run, state: State, *, stopped: bool) -> dict[str, Any]:
    losses = state.losses
    return {
        "adapter": None if stopped else "adapter",
        "steps": state.step,
        "train_loss": sum(losses) / len(losses) if losses else None,
        "validation_loss": state.best_loss,
        "best_step": state.best_step,
        "number_format": state.number_format,
        "tokens": state.tokens,
        "seconds": round(state.seconds, 1),
        "peak_memory_bytes": peak_memory_bytes(),
        "stopped": stopped,
    }

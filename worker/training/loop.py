"""The whole run, from a frozen spec to an adapter. Running it again continues it."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file

from finetune_app.training.protocol import CurvePoint, SampleEvent, TrainingResult
from worker.channel import Channel, Job, UserError
from worker.template import TokenizedExample, load_tokenizer
from worker.training import checkpoints, data
from worker.training.adapter_export import adapter_tensors, export
from worker.training.llama_loss import LlamaLoss, is_supported
from worker.training.memory import memory_bytes, peak_memory_bytes
from worker.training.model_loader import AdaptedModel, context_length, fastest_number_format, load
from worker.training.optimizer import FlatAdamW, learning_rate_at
from worker.training.replay import replay_examples, replay_indices
from worker.training.sample_answers import generate_samples
from worker.training.spec import TrainingSpec
from worker.training.state import LastCheckpoint, Run, State
from worker.training.steps import (
    CausalLMLoss,
    Loss,
    StepResult,
    is_out_of_memory,
    mean_loss,
    training_step,
)

MAX_VALIDATION_EXAMPLES = 64  # enough for a curve; the evaluation step measures properly
VALIDATION_POINTS = 8
TOKEN_BUDGET = 4096  # padded tokens of a micro-batch; halved when memory runs out
MEAN_LOSS_STEPS = 20  # last steps whose mean is the training loss of the result
SEED_STRIDE = 1_000_003  # a prime, so that seeds of neighbouring steps do not repeat

T = TypeVar("T")


def run(job: Job, channel: Channel) -> TrainingResult:
    """Train an adapter in `job.folder`, from its newest good checkpoint if there is one.

    Raises UserError for what a person can fix, and LeaseLost when another process may own the job.
    """
    spec = TrainingSpec.from_json(job.spec)
    try:
        training, state = prepare(spec, job.folder, channel)
    except data.TokenizationStopped:
        return result_without_steps(job.folder)
    channel.emit("phase", phase="training", message="Learning from your examples")
    while state.step < training.total_steps:
        channel.check()
        if channel.stopping():
            save_checkpoint(training, state)
            return result(training, state, stopped=True)
        run_step(training, state)
        seconds_since_save = time.monotonic() - training.last_checkpoint.saved_at
        if seconds_since_save > spec.save_seconds or ends_epoch(training, state):
            save_checkpoint(training, state)
    export_best(training, state)
    return result(training, state, stopped=False)


def prepare(spec: TrainingSpec, folder: Path, channel: Channel) -> tuple[Run, State]:
    """Read the rows, load the model, and restore the newest good checkpoint.

    Raises UserError, and TokenizationStopped when Stop is pressed while rows are read.
    """
    channel.emit("phase", phase="reading", message="Reading your examples")
    tokenizer = load_tokenizer(spec.base_model)
    limit = context_length(spec.base_model) or spec.max_tokens
    spec = replace(spec, max_tokens=min(spec.max_tokens, limit))
    train_rows = data.read_rows(spec.version, "train")
    validation_rows = data.sample_rows(
        data.read_rows(spec.version, "validation"), MAX_VALIDATION_EXAMPLES, spec.seed
    )
    train_examples = data.tokenize_rows(train_rows, tokenizer, spec.max_tokens, channel)
    validation_examples = data.tokenize_rows(validation_rows, tokenizer, spec.max_tokens)
    if not train_examples:
        raise UserError("bad_data", "There are no rows to train on. Add examples, then freeze.")
    for warning in data.warnings(train_examples):
        channel.emit("warning", text=warning)

    channel.emit("phase", phase="loading", message="Loading the model")
    checkpoint = checkpoints.newest(folder / "checkpoints")
    if checkpoint:
        state = State(**checkpoint.state)
    else:
        state = State(choose_number_format(spec, channel), TOKEN_BUDGET)
    replay = load_replay_examples(spec, state.number_format, folder, channel)
    adapted = load(spec, state.number_format)
    adapted.model.train()
    trainable = [p for p in adapted.model.parameters() if p.requires_grad]
    optimizer = FlatAdamW(trainable, spec.weight_decay)
    checkpoints.require_space(folder, optimizer.checkpoint_bytes)
    if checkpoint:
        optimizer.restore(checkpoint.optimizer)
        channel.emit("log", text=f"Continuing from step {state.step}.")
    training = Run(
        spec=spec,
        folder=folder,
        channel=channel,
        adapted=adapted,
        tokenizer=tokenizer,
        loss=choose_loss(adapted),
        optimizer=optimizer,
        train_examples=train_examples,
        batches=data.Batches(train_examples, spec.batch_size, spec.seed),
        replay_examples=replay,
        validation_examples=validation_examples,
        sample_rows=validation_rows[: spec.sample_prompts],
        last_checkpoint=LastCheckpoint(state.step if checkpoint else -1, time.monotonic()),
    )
    return training, state


def choose_number_format(spec: TrainingSpec, channel: Channel) -> str:
    if spec.number_format != "auto":
        return spec.number_format
    chosen = fastest_number_format(spec.base_model)
    channel.emit("log", text=f"Number format {chosen}: the faster one that fits here.")
    return chosen


def load_replay_examples(
    spec: TrainingSpec, number_format: str, folder: Path, channel: Channel
) -> list[TokenizedExample]:
    """Everyday conversation against forgetting; empty if it is turned off."""
    if not spec.replay_share:
        return []
    return replay_examples(spec.base_model, number_format, folder, channel)


def choose_loss(adapted: AdaptedModel) -> Loss:
    """The fast loss for models that it supports, the general one for all others."""
    model = adapted.model
    return LlamaLoss(model) if is_supported(model) else CausalLMLoss(model)


def run_step(training: Run, state: State) -> None:
    """One update, then samples and validation where they are due, and a point of the curve."""
    start = time.monotonic()
    step = update(training, state)
    seconds = time.monotonic() - start
    state.step += 1
    state.tokens += step.tokens
    state.seconds += seconds
    state.losses = [*state.losses, step.loss][-MEAN_LOSS_STEPS:]
    state.validation_loss = None
    training.channel.emit("progress", done=state.step, total=training.total_steps, unit="steps")
    if state.step == 1:
        evaluate_base_model(training, state)
    if ends_epoch(training, state):
        emit_samples(training, state)
    if state.step in validation_steps(training.total_steps, training.steps_per_epoch):
        validate(training, state)
    emit_point(training, state, step.loss, step.tokens / seconds)


def evaluate_base_model(training: Run, state: State) -> None:
    """Step 0 of the curve and of the sample answers: the base model.

    It is computed with the adapter disabled, after the first update, so that learning is seen to
    begin at once.
    """
    before = replace(state, step=0)
    with training.loss.without_adapter():
        emit_samples(training, before)
        before.validation_loss = compute_validation_loss(training, state)
    emit_point(training, before, loss=None, tokens_per_second=None)


def update(training: Run, state: State) -> StepResult:
    """One update from the batch of this step. Raises UserError."""
    spec = training.spec
    indices = training.batches.at(state.step)
    replay = [
        training.replay_examples[index]
        for index in replay_indices(
            state.step,
            spec.batch_size,
            spec.replay_share,
            len(training.replay_examples),
            spec.seed,
        )
    ]
    learning_rate = learning_rate_at(
        state.step, training.total_steps, spec.learning_rate, spec.warmup_ratio, spec.schedule
    )

    def attempt() -> StepResult:
        torch.manual_seed((spec.seed * SEED_STRIDE + state.step) % 2**63)
        training.optimizer.zero_gradients()
        return training_step(
            training.loss,
            training.optimizer,
            training.train_examples,
            indices,
            replay=replay,
            token_budget=state.token_budget,
            learning_rate=learning_rate,
            max_norm=spec.max_grad_norm,
        )

    batch = [*(training.train_examples[index] for index in indices), *replay]
    longest = max(len(example.input_ids) for example in batch)
    return retry_in_smaller_parts(training, state, longest, longest * len(indices), attempt)


def retry_in_smaller_parts(
    training: Run, state: State, longest: int, total: int, attempt: Callable[[], T]
) -> T:
    """Repeat `attempt` with a smaller token budget for as long as memory runs out.

    longest: tokens of the longest example. total: most padded tokens of a single micro-batch.
    """
    while True:
        try:
            return attempt()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reduce_token_budget(training, state, longest, min(total, state.token_budget), error)


def reduce_token_budget(
    training: Run, state: State, longest: int, used: int, error: Exception
) -> None:
    """Halve the token budget. Raises UserError when a single example is already too much."""
    if used <= longest:
        raise UserError(
            "out_of_memory",
            f"The memory is not enough for a single row of {longest} tokens. Close other "
            "programs, allow shorter rows in the settings, or choose a smaller base model.",
        ) from error
    state.token_budget = max(used // 2, 1)
    training.channel.emit(
        "warning",
        text="Memory ran out, so each step now works through its rows in smaller parts. The "
        "result is the same; it takes a little longer.",
    )


def validation_steps(total: int, steps_per_epoch: int) -> set[int]:
    """About eight steps spread over the run, and the end of every epoch."""
    ends = set(range(steps_per_epoch, total + 1, steps_per_epoch))
    spread = {round(total * i / VALIDATION_POINTS) for i in range(VALIDATION_POINTS + 1)}
    min_distance = max(1, total // (4 * VALIDATION_POINTS))
    return ends | {s for s in spread if all(abs(s - end) >= min_distance for end in ends)}


def ends_epoch(training: Run, state: State) -> bool:
    return state.step % training.steps_per_epoch == 0


def validate(training: Run, state: State) -> None:
    """Compute the validation loss; the best step so far is kept as a checkpoint."""
    loss = state.validation_loss = compute_validation_loss(training, state)
    if loss is not None and (state.best_loss is None or loss < state.best_loss):
        state.best_loss, state.best_step = loss, state.step
        save_checkpoint(training, state)


def compute_validation_loss(training: Run, state: State) -> float | None:
    """None without validation examples, or when the loss is not finite."""
    examples = training.validation_examples
    if not examples:
        return None
    longest = max(len(example.input_ids) for example in examples)

    def attempt() -> float:
        return mean_loss(training.loss, examples, state.token_budget, training.adapted.device)

    model = training.adapted.model
    model.eval()
    try:
        loss = retry_in_smaller_parts(training, state, longest, state.token_budget, attempt)
    finally:
        model.train()
    return loss if math.isfinite(loss) else None


def emit_samples(training: Run, state: State) -> None:
    samples = generate_samples(
        training.adapted, training.tokenizer, training.sample_rows, training.spec
    )
    for index, sample in enumerate(samples):
        event = SampleEvent(step=state.step, index=index, **sample)  # type: ignore[typeddict-item]
        training.channel.emit("sample", **event)


def emit_point(
    training: Run, state: State, loss: float | None, tokens_per_second: float | None
) -> None:
    point: CurvePoint = {
        "step": state.step,
        "epoch": round(state.step / training.steps_per_epoch, 4),
        "loss": loss,
        "validation_loss": state.validation_loss,
        "tokens_per_second": tokens_per_second and round(tokens_per_second, 1),
        "memory_bytes": memory_bytes(),
    }
    training.channel.emit("point", **point)


def save_checkpoint(training: Run, state: State) -> None:
    """Save this step once. Raises LeaseLost, because another process may be writing by now."""
    if training.last_checkpoint.step == state.step:
        return
    training.channel.check()
    name = checkpoints.save(
        training.checkpoints,
        state.step,
        adapter_tensors(training.adapted),
        training.optimizer.tensors(),
        asdict(state),
    )
    training.last_checkpoint.step = state.step
    training.last_checkpoint.saved_at = time.monotonic()
    checkpoints.remove_old(training.checkpoints, state.best_step)
    training.channel.emit("checkpoint", step=state.step, name=name)


def export_best(training: Run, state: State) -> None:
    """Write the adapter of the best step, in PEFT's format."""
    training.channel.emit("phase", phase="saving", message="Saving what was learned")
    training.channel.check()
    best = training.checkpoints / checkpoints.name_of(state.best_step or 0)
    if state.best_step is not None and checkpoints.is_complete(best):
        weights = load_file(best / "adapter.safetensors")
    else:  # without validation examples the last step is the best that is known
        state.best_step = state.step
        weights = adapter_tensors(training.adapted)
    metadata = {
        "base_model": training.spec.base_model.name,
        "number_format": state.number_format,
        "best_step": state.best_step,
        "settings": json.loads(json.dumps(asdict(training.spec), default=str)),
    }
    export(training.folder / "adapter", training.adapted, weights, training.tokenizer, metadata)


def result(training: Run, state: State, *, stopped: bool) -> TrainingResult:
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


def result_without_steps(folder: Path) -> TrainingResult:
    """Result of a run that was stopped before its first step: the newest checkpoint stays."""
    checkpoint = checkpoints.newest(folder / "checkpoints")
    steps = checkpoint.state["step"] if checkpoint else 0
    return {"adapter": None, "steps": steps, "stopped": True}

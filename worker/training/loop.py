"""The whole run, from a frozen spec to an adapter. Running it again continues it."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from finetune_app.training.protocol import CurvePoint, SampleAnswer, SampleEvent, TrainingResult
from worker.channel import Channel, Job
from worker.template import TokenizedExample, load_tokenizer
from worker.training import checkpoints, data
from worker.training.adapter_export import adapter_tensors, export
from worker.training.killed_attempts import (
    forget_attempt,
    killed_attempt,
    note_attempt,
    smaller_budget,
)
from worker.training.llama_loss import LlamaLoss, is_supported
from worker.training.memory import memory_bytes, peak_memory_bytes
from worker.training.model_loader import AdaptedModel, context_length, fastest_number_format, load
from worker.training.optimizer import FlatAdamW, learning_rate_at
from worker.training.out_of_memory import retry_in_smaller_parts
from worker.training.replay import replay_examples, replay_indices
from worker.training.spec import TrainingSpec
from worker.training.state import LastCheckpoint, Run, State
from worker.training.steps import (
    CausalLMLoss,
    Loss,
    StepResult,
    mean_loss,
    training_step,
)
from worker.training.validation import Validation, best, ends_early
from worker.training.validation_answers import ValidationAnswers

TOKEN_BUDGET = 4096  # padded tokens of a micro-batch; halved when memory runs out
MEAN_LOSS_STEPS = 20  # last steps whose mean is the training loss of the result
SEED_STRIDE = 1_000_003  # a prime, so that seeds of neighbouring steps do not repeat


def run(job: Job, channel: Channel) -> TrainingResult:
    """Train an adapter in `job.folder`, from its newest good checkpoint if there is one.

    Raises UserError for what a person can fix, and LeaseLost when another process may own the job.
    """
    spec = TrainingSpec.from_json(job.spec)
    try:
        return train(*prepare(spec, job.folder, channel))
    except data.TokenizationStopped:
        return result_without_steps(job.folder)
    finally:
        forget_attempt(job.folder)  # it ends by itself, not by the kernel


def train(training: Run, state: State) -> TrainingResult:
    """All steps that are left, then the export."""
    spec, channel = training.spec, training.channel
    channel.emit("phase", phase="training", message="Learning from your examples")
    while state.step < training.total_steps and not has_learned(training, state):
        channel.check()
        if channel.stopping():
            save_checkpoint(training, state)
            return result(training, state, stopped=True)
        run_step(training, state)
        seconds_since_save = time.monotonic() - training.last_checkpoint.saved_at
        if seconds_since_save > spec.save_seconds or ends_epoch(training, state):
            save_checkpoint(training, state)
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
    examples = data.read_examples(spec, tokenizer, channel)

    channel.emit("phase", phase="loading", message="Loading the model")
    checkpoint = checkpoints.newest(folder / "checkpoints")
    if checkpoint:
        state = State.from_json(checkpoint.state)
    else:
        state = State(choose_number_format(spec, channel), TOKEN_BUDGET)
    if killed := killed_attempt(folder):
        state.token_budget = smaller_budget(killed, examples.longest, channel)
    note_attempt(folder)
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
        train_examples=examples.train,
        batches=data.Batches(examples.train, spec.batch_size, spec.seed),
        replay_examples=replay,
        validation_examples=examples.validation,
        validation_answers=ValidationAnswers(adapted, tokenizer, examples.asked, spec),
        last_checkpoint=LastCheckpoint(state.step if checkpoint else -1, time.monotonic()),
    )
    rows = max(spec.batch_size, len(examples.validation))
    note_attempt(folder, min(state.token_budget, rows * examples.longest))
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
    training.channel.emit("progress", done=state.step, total=training.total_steps, unit="steps")
    if state.step == 1:
        evaluate_base_model(training, state)
    validation = None
    if state.step in training.validation_steps:
        validation = validate(training, state)
    emit_point(training, state.step, validation, step.loss, step.tokens / seconds)


def evaluate_base_model(training: Run, state: State) -> None:
    """Step 0 of the curve and of the sample answers: the base model.

    It is computed with the adapter disabled, after the first update, so that learning is seen to
    begin at once.
    """
    emit_samples(training, 0, training.validation_answers.ask_base_model())
    with training.loss.without_adapter():
        loss = compute_validation_loss(training, state)
    emit_point(training, 0, Validation(0, loss, None), loss=None, tokens_per_second=None)


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


def ends_epoch(training: Run, state: State) -> bool:
    return state.step % training.steps_per_epoch == 0


def has_learned(training: Run, state: State) -> bool:
    """Whether more steps would bring nothing: neither measure nor loss improves any more."""
    return ends_early(state.validations, training.spec.patience)


def validate(training: Run, state: State) -> Validation:
    """Measure this step; the best one so far is kept as a checkpoint."""
    started = time.monotonic()
    samples, score = training.validation_answers.ask(state.step)
    emit_samples(training, state.step, samples)
    found = Validation(state.step, compute_validation_loss(training, state), score)
    state.validations = [*state.validations, found]
    state.validation_seconds += time.monotonic() - started
    if best(state.validations) == found:
        state.best_step = state.step
        save_checkpoint(training, state)
    return found


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


def emit_samples(training: Run, step: int, samples: Sequence[SampleAnswer]) -> None:
    for index, sample in enumerate(samples):
        event = SampleEvent(step=step, index=index, **sample)  # type: ignore[typeddict-item]
        training.channel.emit("sample", **event)


def emit_point(
    training: Run,
    step: int,
    validation: Validation | None,
    loss: float | None,
    tokens_per_second: float | None,
) -> None:
    point: CurvePoint = {
        "step": step,
        "epoch": round(step / training.steps_per_epoch, 4),
        "loss": loss,
        "validation_loss": validation.loss if validation else None,
        "validation_score": validation.score if validation else None,
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
    kept = training.checkpoints / checkpoints.name_of(state.best_step or 0)
    if state.best_step is not None and checkpoints.is_complete(kept):
        weights = load_file(kept / "adapter.safetensors")
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
    losses, chosen = state.losses, best(state.validations)
    return {
        "adapter": None if stopped else "adapter",
        "steps": state.step,
        "train_loss": sum(losses) / len(losses) if losses else None,
        "validation_loss": chosen.loss if chosen else None,
        "validation_score": chosen.score if chosen else None,
        "best_step": state.best_step,
        "ended_early": not stopped and state.step < training.total_steps,
        "number_format": state.number_format,
        "tokens": state.tokens,
        "seconds": round(state.seconds, 1),
        "validation_seconds": round(state.validation_seconds, 1),
        "peak_memory_bytes": peak_memory_bytes(),
        "stopped": stopped,
    }


def result_without_steps(folder: Path) -> TrainingResult:
    """Result of a run that was stopped before its first step: the newest checkpoint stays."""
    checkpoint = checkpoints.newest(folder / "checkpoints")
    steps = checkpoint.state["step"] if checkpoint else 0
    return {"adapter": None, "steps": steps, "stopped": True}

"""The whole run, from a frozen spec to an adapter or a model. Running it again continues it."""

import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from finetune_app.training.protocol import ADAPTER, MODEL, TrainingResult
from worker.channel import Channel, Job
from worker.memory import trim_heap
from worker.training import checkpoints, data, kept_steps
from worker.training.adapter_export import adapter_tensors, export
from worker.training.curve import emit_point, emit_validations, evaluate_start, validate
from worker.training.data_parallel import start_peers
from worker.training.killed_attempts import forget_attempt
from worker.training.memory import memory_bytes, peak_memory_bytes
from worker.training.objectives import Update
from worker.training.optimizer import learning_rate_at
from worker.training.out_of_memory import retry_in_smaller_parts
from worker.training.prepare import prepare
from worker.training.rehearsal import rehearse
from worker.training.replay import replay_indices, replay_weight
from worker.training.replay.answers import ReplayExample
from worker.training.spec import TrainingSpec
from worker.training.state import Run, State
from worker.training.steps import StepResult, training_step
from worker.training.validation import best, ends_early

MEAN_LOSS_STEPS = 20  # last steps whose mean is the training loss of the result
SEED_STRIDE = 1_000_003  # a prime, so that seeds of neighbouring steps do not repeat


def run(job: Job, channel: Channel) -> TrainingResult:
    """Train in `job.folder`, from its newest good checkpoint if there is one.

    Raises UserError for what a person can fix, and LeaseLost when another process may own the job.
    """
    spec = TrainingSpec.from_json(job.spec)
    try:
        training, state = prepare(spec, job.folder, channel)
        emit_validations(training, state)
        training = rehearse(training, state)
        return train(replace(training, ranks=start_peers(spec, job.folder)), state)
    except data.TokenizationStopped:
        return result_without_steps(job.folder)
    finally:
        forget_attempt(job.folder)  # it ends by itself, not by the kernel


def train(training: Run, state: State) -> TrainingResult:
    """All steps that are left, then the export."""
    spec, channel = training.spec, training.channel
    channel.emit("phase", phase="training", message="Learning from your examples")
    while training.ranks.go_on(not is_over(training, state) and not channel.stopping()):
        run_step(training, state)
        seconds_since_save = time.monotonic() - training.last_checkpoint.saved_at
        if seconds_since_save > spec.save_seconds or ends_epoch(training, state):
            save_checkpoint(training, state)
    training.ranks.close()
    save_checkpoint(training, state)
    if not is_over(training, state):
        return result(training, state, stopped=True)
    export_best(training, state)
    return result(training, state, stopped=False)


def is_over(training: Run, state: State) -> bool:
    """Whether no step is left that could bring something. Raises LeaseLost."""
    training.channel.check()
    return state.step >= training.total_steps or has_learned(training, state)


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
        evaluate_start(training, state)
    validation = None
    if state.step in training.validation_steps:
        validation = validate(training, state)
        if best(state.validations) == validation:
            state.best_step = state.step
            save_checkpoint(training, state)
        kept_steps.keep(training, state)
    speed = step.tokens / seconds
    emit_point(training, state.step, validation, step, speed, memory_bytes())


def update(training: Run, state: State) -> StepResult:
    """One update from the batch of this step. Raises UserError."""
    spec = training.spec
    indices = training.batches.at(state.step)
    examples = [training.train_examples[index] for index in indices]
    replay = replay_of_step(training, state.step)
    weight = replay_weight(len(examples), len(replay))
    learned = Update(training.objective, examples, replay, weight)
    learning_rate = learning_rate_at(
        state.step, training.total_steps, spec.learning_rate, spec.warmup_ratio, spec.schedule
    )

    def attempt() -> StepResult:
        torch.manual_seed((spec.seed * SEED_STRIDE + state.step) % 2**63)
        training.optimizer.zero_gradients()
        return training_step(
            training.optimizer,
            learned,
            ranks=training.ranks,
            token_budget=state.token_budget,
            learning_rate=learning_rate,
            max_norm=spec.max_grad_norm,
        )

    return retry_in_smaller_parts(training, state, [*examples, *replay], attempt)


def replay_of_step(training: Run, step: int) -> list[ReplayExample]:
    """The everyday examples of this update."""
    spec, examples = training.spec, training.replay_examples
    indices = replay_indices(step, spec.batch_size, spec.replay_share, len(examples), spec.seed)
    return [examples[index] for index in indices]


def ends_epoch(training: Run, state: State) -> bool:
    return state.step % training.steps_per_epoch == 0


def has_learned(training: Run, state: State) -> bool:
    """Whether more steps would bring nothing: neither measure nor loss improves any more."""
    return ends_early(state.validations, training.spec.patience)


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
    trim_heap()  # of gaps between tensors, which have other sizes in each step


def export_best(training: Run, state: State) -> None:
    """Write what was learned at the best step."""
    training.channel.emit("phase", phase="saving", message="Saving what was learned")
    training.channel.check()
    kept = training.checkpoints / checkpoints.name_of(state.best_step or 0)
    if state.best_step is not None and checkpoints.is_complete(kept):
        weights = load_file(kept / "adapter.safetensors")
    else:  # without validation examples the last step is the best that is known
        state.best_step = state.step
        weights = adapter_tensors(training.adapted)
    export(
        training.folder,
        training.adapted,
        weights,
        training.tokenizer,
        training.metadata(state, state.best_step),
        training.spec.base_model,
    )


def result(training: Run, state: State, *, stopped: bool) -> TrainingResult:
    losses, chosen = state.losses, best(state.validations)
    is_full = training.spec.tuning == "full"
    return {
        "adapter": None if stopped or is_full else ADAPTER,
        "model": MODEL if is_full and not stopped else None,
        "steps": state.step,
        "train_loss": sum(losses) / len(losses) if losses else None,
        "validation_loss": chosen.loss if chosen else None,
        "validation_score": chosen.score if chosen else None,
        "best_step": state.best_step,
        "kept_steps": {} if stopped else kept_steps.finish(training, state),
        "ended_early": not stopped and state.step < training.total_steps,
        "number_format": state.number_format,
        "tokens": state.tokens,
        "work": work_done(training, state),
        "seconds": round(state.seconds, 1),
        "validation_seconds": round(state.validation_seconds, 1),
        "peak_memory_bytes": peak_memory_bytes(),
        "stopped": stopped,
    }


def work_done(training: Run, state: State) -> int:
    """Of the updates so far, in training tokens."""
    everyday = (replay_of_step(training, step) for step in range(state.step))
    return state.tokens + sum(data.count_tokens(replay) for replay in everyday)


def result_without_steps(folder: Path) -> TrainingResult:
    """Result of a run that was stopped before its first step: the newest checkpoint stays."""
    checkpoint = checkpoints.newest(folder / "checkpoints")
    steps = checkpoint.state["step"] if checkpoint else 0
    return {"adapter": None, "steps": steps, "stopped": True}

"""From a frozen spec to a run that is ready for its first step, or for its next one."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from finetune_app.basemodels.memory_plan import token_budget
from finetune_app.basemodels.training_work import replay_rows
from worker.channel import Channel
from worker.memory import release_memory
from worker.template import load_tokenizer
from worker.training import checkpoints, data, kept_steps
from worker.training.data_parallel import Ranks
from worker.training.dpo import DpoObjective, reference_margins
from worker.training.killed_attempts import killed_attempt, note_attempt, noted_attempt
from worker.training.llama_loss import LlamaLoss, is_supported
from worker.training.losses import CausalLMLoss, Loss
from worker.training.memory_choice import choose_by_plan, full_while_loading
from worker.training.model_loader import AdaptedModel, context_length, fastest_number_format, load
from worker.training.objectives import AnswerObjective, Objective
from worker.training.optimizer import FlatAdamW
from worker.training.out_of_memory import (
    KILLED,
    adopt_attempt,
    is_out_of_memory,
    need_less,
    shorter,
)
from worker.training.probes import TOLERANCE, difference
from worker.training.replay import replay_examples
from worker.training.replay.answers import ReplayExample
from worker.training.replay.targets import ReplayTargets, states_file
from worker.training.shortening import can_be_shortened, shorten_rows
from worker.training.spec import TrainingSpec
from worker.training.state import LastCheckpoint, Run, State
from worker.training.validation_answers import ValidationAnswers


def prepare(
    spec: TrainingSpec, folder: Path, channel: Channel, ranks: Ranks | None = None
) -> tuple[Run, State]:
    """Read the rows, load the model, and restore the newest good checkpoint.

    ranks: of a peer, which works as the first process has noted. Without, this is the first one.
    Raises UserError, and TokenizationStopped when Stop is pressed while rows are read.
    """
    channel.emit("phase", phase="reading", message="Reading your examples")
    tokenizer = load_tokenizer(spec.base_model)
    limit = context_length(spec.base_model) or spec.max_tokens
    spec = replace(spec, max_tokens=min(spec.max_tokens, limit))
    read = data.read_pairs if spec.method == "dpo" else data.read_answers
    examples = read(spec, tokenizer, channel)

    channel.emit("phase", phase="loading", message="Loading the model")
    checkpoint = checkpoints.newest(folder / "checkpoints")
    if checkpoint:
        state = State.from_json(checkpoint.state)
    else:
        number_format = choose_number_format(spec, channel)
        state = State(number_format, token_budget(number_format, torch.cuda.is_available()))
    if ranks is None:
        examples = make_room(spec, state, examples, folder, channel, is_new=checkpoint is None)
        note_attempt(folder)
    elif first := noted_attempt(folder):
        adopt_attempt(first, state)
        examples = with_row_limit(examples, state, channel)
    replay = load_replay_examples(spec, tokenizer, state.number_format, folder, channel)
    adapted = load_model(spec, state.number_format)
    trainable = [p for p in adapted.model.parameters() if p.requires_grad]
    optimizer = FlatAdamW(trainable, spec.weight_decay)
    adapter_bytes = optimizer.working.nbytes
    kept_bytes = kept_steps.most_steps(adapter_bytes) * adapter_bytes
    checkpoints.require_space(folder, optimizer.checkpoint_bytes, kept_bytes)
    checkpointing = state.gradient_checkpointing
    loss = choose_loss(adapted, channel, gradient_checkpointing=checkpointing)
    both = [*examples.train, *examples.validation]
    objective = make_objective(
        spec, folder, adapted, loss, both, replay, state.token_budget, channel
    )
    if checkpoint:
        optimizer.restore(checkpoint.optimizer)
        channel.emit("log", text=f"Continuing from step {state.step}.")
    training = Run(
        spec=spec,
        folder=folder,
        channel=channel,
        adapted=adapted,
        tokenizer=tokenizer,
        loss=loss,
        objective=objective,
        optimizer=optimizer,
        train_examples=examples.train,
        row_numbers=examples.numbers,
        batches=data.Batches(examples.train, spec.batch_size, spec.seed),
        replay_examples=replay,
        validation_examples=examples.validation,
        validation_answers=ValidationAnswers(adapted, tokenizer, examples.asked, spec),
        last_checkpoint=LastCheckpoint(state.step if checkpoint else -1, time.monotonic()),
        ranks=ranks or Ranks(),
    )
    rows = max(spec.batch_size, len(examples.validation))
    rows += replay_rows(spec.batch_size, spec.replay_share)
    longest = max([examples.longest, *(one.padded_tokens for one in replay)])
    state.token_budget = min(state.token_budget, max(rows * longest, 1))
    return training, state


def make_room(
    spec: TrainingSpec,
    state: State,
    examples: data.Examples[Any],
    folder: Path,
    channel: Channel,
    *,
    is_new: bool,
) -> data.Examples[Any]:
    """Choose a way of working that fits in memory, by the last attempt if the kernel killed it,
    else by the plan; returns the examples, shortened where that is needed. Raises UserError."""
    if spec.gradient_checkpointing == "on":
        state.gradient_checkpointing = True
    if killed := killed_attempt(folder):
        if not killed.token_budget:
            raise full_while_loading(spec, state.number_format)
        adopt_attempt(killed, state)
        examples = with_row_limit(examples, state, channel)
        longest = max(examples.train, key=lambda one: one.padded_tokens)
        warning = need_less(
            state,
            killed.token_budget,
            longest.padded_tokens,
            checkpoint=spec.gradient_checkpointing == "auto",
            shorten=can_be_shortened(longest, shorter(longest.padded_tokens)),
        )
        channel.emit("warning", text=f"{KILLED} {warning}")
    elif is_new:
        choose_by_plan(spec, state, examples, channel)
    return with_row_limit(examples, state, channel)


def with_row_limit(
    examples: data.Examples[Any], state: State, channel: Channel
) -> data.Examples[Any]:
    if not state.row_limit:
        return examples
    train, warning = shorten_rows(examples.train, examples.numbers, state.row_limit)
    if warning:
        channel.emit("warning", text=warning)
    return replace(examples, train=train)


def load_model(spec: TrainingSpec, number_format: str) -> AdaptedModel:
    """Raises UserError, also when the memory is too small for the model alone."""
    try:
        adapted = load(spec, number_format)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise full_while_loading(spec, number_format) from error
    adapted.model.train()
    return adapted


def make_objective(
    spec: TrainingSpec,
    folder: Path,
    adapted: AdaptedModel,
    loss: Loss,
    examples: Sequence[Any],
    replay: Sequence[ReplayExample],
    token_budget: int,
    channel: Channel,
) -> Objective[Any]:
    targets = replay_targets(spec, adapted, loss, replay)
    if spec.method != "dpo":
        return AnswerObjective(loss, targets)
    margins = reference_margins(folder, adapted, loss, examples, token_budget, channel)
    return DpoObjective(loss, spec.beta, margins, targets)


def replay_targets(
    spec: TrainingSpec, adapted: AdaptedModel, loss: Loss, replay: Sequence[ReplayExample]
) -> ReplayTargets:
    """What the base model says to them, kept beside it for later trainings."""
    file = states_file(spec.base_model, replay, adapted.number_format, spec.tuning)
    return ReplayTargets(loss, replay, adapted.device, file)


def choose_number_format(spec: TrainingSpec, channel: Channel) -> str:
    if spec.number_format != "auto":
        return spec.number_format
    if spec.tuning == "qlora":
        return "bf16"
    chosen = fastest_number_format(spec.base_model)
    channel.emit("log", text=f"Number format {chosen}: the faster one that fits here.")
    return chosen


def load_replay_examples(
    spec: TrainingSpec,
    tokenizer: PreTrainedTokenizerBase,
    number_format: str,
    folder: Path,
    channel: Channel,
) -> list[ReplayExample]:
    """Everyday conversation against forgetting; empty if it is turned off."""
    if not spec.replay_share:
        return []
    return replay_examples(spec.base_model, tokenizer, number_format, folder, channel)


def choose_loss(
    adapted: AdaptedModel, channel: Channel, *, gradient_checkpointing: bool = False
) -> Loss:
    """The fast loss for models that it supports, where a probe gives transformers' gradients; the
    general one for all others, and for gradient checkpointing, which only that one can do."""
    model = adapted.model
    loss: Loss = CausalLMLoss(model)
    if gradient_checkpointing:
        base: Any = model.get_base_model()
        base.gradient_checkpointing_enable({"use_reentrant": False})
    elif is_supported(model):
        fast = LlamaLoss(model)
        error = difference(model, fast, loss)
        if error <= TOLERANCE[adapted.number_format]:
            loss = fast
        else:
            channel.emit(
                "log",
                text="This model trains with transformers' own layers, because the faster ones "
                f"gave other gradients (by {error:.2g}).",
            )
    release_memory()  # of weights that were converted or fused, which can be as much as the model
    return loss

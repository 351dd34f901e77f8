"""From a frozen spec to a run that is ready for its first step, or for its next one."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetune_app.basemodels.memory_plan import TOKEN_BUDGET
from worker.channel import Channel
from worker.engine.memory import release_memory
from worker.template import TokenizedExample, load_tokenizer
from worker.training import checkpoints, data, kept_steps
from worker.training.data_parallel import Ranks, start_peers
from worker.training.dpo import DpoObjective, reference_margins
from worker.training.killed_attempts import killed_attempt, note_attempt, smaller_budget
from worker.training.llama_loss import LlamaLoss, is_supported
from worker.training.losses import CausalLMLoss, Loss
from worker.training.model_loader import AdaptedModel, context_length, fastest_number_format, load
from worker.training.objectives import AnswerObjective, Objective
from worker.training.optimizer import FlatAdamW
from worker.training.probes import TOLERANCE, difference
from worker.training.replay import replay_examples
from worker.training.spec import TrainingSpec
from worker.training.state import LastCheckpoint, Run, State
from worker.training.validation_answers import ValidationAnswers


def prepare(
    spec: TrainingSpec, folder: Path, channel: Channel, ranks: Ranks | None = None
) -> tuple[Run, State]:
    """Read the rows, load the model, and restore the newest good checkpoint.

    ranks: of a peer. Without, this is the first process, and starts the peers that it needs.
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
        state = State(choose_number_format(spec, channel), TOKEN_BUDGET)
    if killed := killed_attempt(folder):
        state.token_budget = smaller_budget(killed, examples.longest, channel)
    if ranks is None:
        note_attempt(folder)
    replay = load_replay_examples(spec, state.number_format, folder, channel)
    adapted = load(spec, state.number_format)
    adapted.model.train()
    trainable = [p for p in adapted.model.parameters() if p.requires_grad]
    optimizer = FlatAdamW(trainable, spec.weight_decay)
    adapter_bytes = optimizer.working.nbytes
    kept_bytes = kept_steps.most_steps(adapter_bytes) * adapter_bytes
    checkpoints.require_space(folder, optimizer.checkpoint_bytes, kept_bytes)
    loss = choose_loss(adapted, channel)
    objective: Objective[Any] = AnswerObjective(loss)
    if spec.method == "dpo":
        pairs = [*examples.train, *examples.validation]
        margins = reference_margins(folder, adapted, loss, pairs, state.token_budget, channel)
        objective = DpoObjective(loss, spec.beta, margins)
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
        batches=data.Batches(examples.train, spec.batch_size, spec.seed),
        replay_examples=replay,
        validation_examples=examples.validation,
        validation_answers=ValidationAnswers(adapted, tokenizer, examples.asked, spec),
        last_checkpoint=LastCheckpoint(state.step if checkpoint else -1, time.monotonic()),
        ranks=ranks or start_peers(spec, folder),
    )
    rows = max(spec.batch_size, len(examples.validation))
    if ranks is None:
        note_attempt(folder, min(state.token_budget, rows * examples.longest))
    return training, state


def choose_number_format(spec: TrainingSpec, channel: Channel) -> str:
    if spec.number_format != "auto":
        return spec.number_format
    if spec.tuning == "qlora":
        return "bf16"
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


def choose_loss(adapted: AdaptedModel, channel: Channel) -> Loss:
    """The fast loss for models that it supports, where a probe gives transformers' gradients; the
    general one for all others."""
    model = adapted.model
    loss: Loss = CausalLMLoss(model)
    if is_supported(model):
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

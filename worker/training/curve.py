"""What is measured on the way: the points of the learning curve, and the sample answers."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from finetune_app.training.protocol import CurvePoint, SampleAnswer, SampleEvent
from worker.perplexity import perplexity_ratio
from worker.training.dpo import LOSS_OF_REFERENCE
from worker.training.general_ability import text_loss
from worker.training.memory import memory_bytes
from worker.training.objectives import MeanLoss, mean_loss
from worker.training.out_of_memory import retry_in_smaller_parts
from worker.training.state import Run, State
from worker.training.steps import StepResult
from worker.training.validation import Validation


def evaluate_start(training: Run, state: State) -> None:
    """Step 0 of the curve and of the sample answers: the model before its first update.

    It is computed after that update, so that learning is seen to begin at once.
    """
    emit_samples(training, 0, training.validation_answers.ask_start())
    base = MeanLoss(LOSS_OF_REFERENCE)
    if training.spec.method == "supervised":
        base = MeanLoss()  # an adapter that goes on has changed already: the base is no start
        if training.spec.start_adapter is None:
            with training.loss.without_adapter():
                base = compute_validation_loss(training, state)
    start = Validation(0, base.loss, None, accuracy=base.accuracy)
    emit_point(training, 0, start, None, tokens_per_second=None, memory=memory_bytes())


def validate(training: Run, state: State) -> Validation:
    """Measure this step on the validation examples."""
    started = time.monotonic()
    samples, score = training.validation_answers.ask(state.step)
    emit_samples(training, state.step, samples)
    measured = compute_validation_loss(training, state)
    if training.spec.method == "dpo":
        score = measured.accuracy
    general_ability = measure_general_ability(training, state)
    found = Validation(state.step, measured.loss, score, general_ability, measured.accuracy)
    state.validations = [*state.validations, found]
    state.validation_seconds += time.monotonic() - started
    return found


def measure_general_ability(training: Run, state: State) -> float | None:
    """Perplexity of the base model over that of this step, on everyday text: 1 is as good as
    before, 0.9 a little worse. None where it is not measured."""
    windows = training.general_windows
    if not len(windows):
        return None
    loss, device = training.loss, training.adapted.device
    with without_dropout(training):
        if state.general_base_loss is None:
            with loss.without_adapter():
                state.general_base_loss = text_loss(loss, windows, device)
        return perplexity_ratio(state.general_base_loss, text_loss(loss, windows, device))


def compute_validation_loss(training: Run, state: State) -> MeanLoss:
    """Nothing without validation examples."""
    examples = training.validation_examples
    if not examples:
        return MeanLoss()
    device = training.adapted.device

    def attempt() -> MeanLoss:
        return mean_loss(training.objective, examples, state.token_budget, device)

    with without_dropout(training):
        return retry_in_smaller_parts(training, state, examples, attempt)


@contextmanager
def without_dropout(training: Run) -> Iterator[None]:
    model = training.adapted.model
    model.eval()
    try:
        yield
    finally:
        model.train()


def emit_samples(training: Run, step: int, samples: Sequence[SampleAnswer]) -> None:
    for index, sample in enumerate(samples):
        event = SampleEvent(step=step, index=index, **sample)  # type: ignore[typeddict-item]
        training.channel.emit("sample", **event)


def emit_validations(training: Run, state: State) -> None:
    """What an earlier attempt measured: a checkpoint holds it, but its point may be lost."""
    for validation in state.validations:
        emit_point(training, validation.step, validation, None, None, memory=None)


def emit_point(
    training: Run,
    step: int,
    validation: Validation | None,
    update: StepResult | None,
    tokens_per_second: float | None,
    memory: int | None,
) -> None:
    point: CurvePoint = {
        "step": step,
        "epoch": round(step / training.steps_per_epoch, 4),
        "loss": update.loss if update else None,
        "accuracy": update.accuracy if update else None,
        "validation_loss": validation.loss if validation else None,
        "validation_accuracy": validation.accuracy if validation else None,
        "validation_score": validation.score if validation else None,
        "general_ability": validation.general_ability if validation else None,
        "tokens_per_second": tokens_per_second and round(tokens_per_second, 1),
        "memory_bytes": memory,
    }
    training.channel.emit("point", **point)

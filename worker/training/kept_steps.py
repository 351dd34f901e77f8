"""The adapters of measured steps, from which a person may choose another than the best.

A step's folder holds its adapter in PEFT's format; the tokenizer lies in `adapter/`, which is the
best step's. The figures of a kept step are those of its point of the curve.

    steps/000120/adapter_model.safetensors
                 adapter_config.json
                 finetune.json
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from finetune_app.training.best_step import MAX_KEPT_BYTES, MAX_KEPT_STEPS, quality, step_name
from worker.training.adapter_export import adapter_tensors, write_adapter
from worker.training.state import Run, State
from worker.training.validation import Validation


def keep(training: Run, state: State) -> None:
    """Write the adapter of this step if it is among the best; remove those that no longer are.

    Raises UserError when the disk is full, and LeaseLost.
    """
    steps = steps_to_keep(training, state)
    if state.step in steps:
        training.channel.check()
        folder = training.kept_steps / step_name(state.step)
        weights = adapter_tensors(training.adapted)
        write_adapter(folder, training.adapted, weights, training.metadata(state, state.step))
    remove_others(training.kept_steps, steps)


def finish(training: Run, state: State) -> dict[str, str]:
    """Remove the best step, which is `adapter/`; return the hash of each other one by its step."""
    steps = steps_to_keep(training, state) - {state.best_step or 0}
    remove_others(training.kept_steps, steps)
    weights = {
        step: training.kept_steps / step_name(step) / "adapter_model.safetensors"
        for step in sorted(steps)
    }
    return {str(step): _sha256(path) for step, path in weights.items() if path.exists()}


def most_steps(adapter_bytes: int) -> int:
    """How many adapters of this size are kept."""
    return min(MAX_KEPT_STEPS, MAX_KEPT_BYTES // adapter_bytes)


def steps_to_keep(training: Run, state: State) -> set[int]:
    """None where every weight is trained: only the best model is kept."""
    if training.spec.tuning == "full":
        return set()
    return best_steps(state.validations, most_steps(training.optimizer.working.nbytes))


def best_steps(validations: Sequence[Validation], count: int) -> set[int]:
    """The `count` best steps; of equals the earlier one. None where nothing could be measured."""
    measured = [one for one in validations if one.loss is not None or one.score is not None]
    ranked = sorted(measured, key=lambda one: quality(one.score, one.loss), reverse=True)
    return {one.step for one in ranked[:count]}


def remove_others(folder: Path, steps: set[int]) -> None:
    """Remove all folders but those of `steps`, unfinished ones included."""
    names = {step_name(step) for step in steps}
    for path in folder.glob("*"):
        if path.name not in names:
            shutil.rmtree(path, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

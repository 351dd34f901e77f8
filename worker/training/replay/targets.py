"""What replay examples are held to: the base model's distribution at each token of the answer."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from worker.training.data import collate
from worker.training.losses import Loss
from worker.training.replay.answers import ReplayExample, cache_key, kept_folder

# Examples that the base model reads together: always the same ones, so that a training that goes on
# after a kill finds the same numbers; those that begin alike, so that this is computed once.
BLOCK = 8
log = logging.getLogger(__name__)


class ReplayTargets:
    """The base model's token probabilities at the answers of the replay examples.

    It reads each example once. The states that enter its LM head are kept, and the probabilities
    are computed from them for each update: they would take vocabulary / width, about a hundred
    times, the memory.

    file: where all states are kept for later trainings; None for nowhere.
    """

    def __init__(
        self,
        loss: Loss,
        examples: Sequence[ReplayExample],
        device: torch.device,
        file: Path | None = None,
    ) -> None:
        self._loss, self._device, self._file = loss, device, file
        alike = sorted(examples, key=lambda one: one.input_ids)
        self._blocks = [alike[start : start + BLOCK] for start in range(0, len(alike), BLOCK)]
        self._block_of = {one.number: block for block in self._blocks for one in block}
        self._states = _load(file, device) if file else {}

    @torch.no_grad()
    def __call__(self, examples: Sequence[ReplayExample]) -> torch.Tensor:
        """(learned, vocabulary), fp32: the learned tokens of each example in turn."""
        with self._loss.without_adapter():
            for example in examples:
                if example.number not in self._states:
                    self._read(self._block_of[example.number])
            states = torch.cat([self._states[example.number] for example in examples])
            return self._loss.head_probabilities(states)

    @torch.no_grad()
    def read_all(self) -> None:
        """Now, and not as each example is needed."""
        with self._loss.without_adapter():
            for block in self._blocks:
                if block[0].number not in self._states:
                    self._read(block)

    def _read(self, block: Sequence[ReplayExample]) -> None:
        states = self._loss.states(collate(block, self._device))
        learned = [sum(example.loss_mask[1:]) for example in block]
        numbers = [example.number for example in block]
        self._states |= zip(numbers, states.split(learned), strict=True)
        if self._file and len(self._states) == len(self._block_of):
            _save(self._file, self._states)


def states_file(
    base_model: Path, examples: Sequence[ReplayExample], number_format: str, tuning: str
) -> Path:
    """Of this base model as it computes in a training, and of these examples."""
    asked = json.dumps([one.input_ids for one in examples])
    weights = f"nf4-{number_format}" if tuning == "qlora" else number_format
    digest = hashlib.sha256(f"{weights} {asked}".encode()).hexdigest()[:32]
    return kept_folder(base_model) / f"{cache_key(base_model)}-{digest}.safetensors"


def _load(file: Path, device: torch.device) -> dict[int, torch.Tensor]:
    """Empty where there is no such file, or it cannot be read."""
    try:
        found = load_file(file, device=str(device))
    except (OSError, SafetensorError):
        return {}
    return {int(number): states for number, states in found.items()}


def _save(file: Path, states: dict[int, torch.Tensor]) -> None:
    """A disk that is full is no reason to end a training."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({str(number): each.clone() for number, each in states.items()}, draft)
        draft.replace(file)
    except (OSError, SafetensorError) as problem:
        log.warning("the states of the replay examples are not kept: %s", problem)

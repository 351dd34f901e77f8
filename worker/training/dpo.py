"""Direct preference optimisation (Rafailov et al., 2023; arXiv 2305.18290).

Of two answers to the same prompt, the one that people prefer becomes more likely than the other, as
compared with the reference: the model as it was before the first update. The reference is asked
once, and what it said is kept in the run's folder; the run then needs no second model.

    margin = log p(chosen) - log p(rejected) - the same of the reference
    loss = -log sigmoid(beta * margin)
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch.nn import functional

from finetune_app.training.protocol import REFERENCE
from worker.channel import Channel, UserError
from worker.template import TokenizedExample
from worker.training.checkpoints import as_user_error
from worker.training.checkpoints import write as write_durably
from worker.training.losses import Loss
from worker.training.micro_batches import parts_of
from worker.training.model_loader import AdaptedModel
from worker.training.objectives import BatchLosses, SummedLoss, batch_losses
from worker.training.pairs import PreferencePair
from worker.training.replay.answers import ReplayExample
from worker.training.replay.targets import ReplayTargets

# Loss of the reference itself, whose margin is zero.
LOSS_OF_REFERENCE = math.log(2)


class DpoObjective:
    """Mean loss of pairs. reference: margin of the reference, by the number of the pair."""

    def __init__(
        self,
        loss: Loss,
        beta: float,
        reference: Mapping[int, float],
        replay_targets: ReplayTargets | None = None,
    ) -> None:
        self.loss, self._beta, self._reference = loss, beta, reference
        self._replay_targets = replay_targets

    def __call__(
        self,
        pairs: Sequence[PreferencePair],
        device: torch.device,
        replay: Sequence[ReplayExample] = (),
    ) -> SummedLoss:
        found = batch_losses(self.loss, conversations(pairs), device, replay, self._replay_targets)
        reference = torch.tensor([self._reference[pair.number] for pair in pairs], device=device)
        gain = margins(found, len(pairs)) - reference
        loss = -functional.logsigmoid(self._beta * gain).sum()
        return SummedLoss(loss, found.tokens, int((gain > 0).sum()), found.replay)

    def units(self, pairs: Sequence[PreferencePair]) -> int:
        return len(pairs)


def conversations(pairs: Sequence[PreferencePair]) -> list[TokenizedExample]:
    """All better answers, then all worse ones."""
    return [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]


def margins(found: BatchLosses, pairs: int) -> torch.Tensor:
    """log p(chosen) - log p(rejected) of their `conversations`: (pairs,) fp32."""
    summed = torch.zeros(2 * pairs, device=found.losses.device)
    summed = summed.index_add(0, found.rows, found.losses)
    return summed[pairs:] - summed[:pairs]


def reference_margins(
    folder: Path,
    adapted: AdaptedModel,
    loss: Loss,
    pairs: Sequence[PreferencePair],
    token_budget: int,
    channel: Channel,
) -> dict[int, float]:
    """The margins of the reference, by the number of the pair: those that were kept in the run's
    folder, or else of the model as it is now. Raises UserError."""
    kept = load_reference(folder)
    if kept is not None:
        return kept
    channel.emit("phase", phase="reference", message="Asking the model what it prefers now")
    was_training = adapted.model.training
    adapted.model.eval()
    found: dict[int, float] = {}
    with torch.no_grad():
        for part in parts_of(pairs, token_budget):
            channel.check()
            losses = batch_losses(loss, conversations(part), adapted.device)
            values = margins(losses, len(part))
            found |= zip((pair.number for pair in part), values.tolist(), strict=True)
    adapted.model.train(was_training)
    save_reference(folder, found)
    return found


def save_reference(folder: Path, margins: Mapping[int, float]) -> None:
    """Raises UserError when the disk is full."""
    draft = folder / f".unfinished-{REFERENCE}"
    try:
        write_durably(draft, json.dumps(margins).encode())
    except OSError as error:
        raise as_user_error(error) from error
    draft.replace(folder / REFERENCE)


def load_reference(folder: Path) -> dict[int, float] | None:
    """None where the reference has not been asked yet. Raises UserError."""
    try:
        stored = json.loads((folder / REFERENCE).read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(
            "bad_data",
            "What the model preferred before the training was damaged on the disk. Start a new "
            "training.",
        ) from error
    return {int(number): margin for number, margin in stored.items()}

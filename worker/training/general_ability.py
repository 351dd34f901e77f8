"""How well the model still predicts everyday text, at each measured step.

The text is this folder's own: the general check of an evaluation reads another one, so that a step
which somebody chooses by these figures is not tested with the text it was chosen by.
"""

from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from finetune_app.basemodels.training_work import FORWARD_COST
from worker.perplexity import token_windows
from worker.template import TokenizedExample
from worker.training.data import collate
from worker.training.losses import Loss

TEXT = Path(__file__).with_name("everyday_text.txt")
MAX_WINDOWS = 2  # about 500 tokens: the comparison is paired, so that little text is enough
MAX_SHARE = 0.25  # of the work of the rest of a measurement


def text_windows(
    tokenizer: PreTrainedTokenizerBase, context_length: int, other_work: float
) -> torch.Tensor:
    """The text as (windows, tokens); fewer windows, or none, where even they would cost much.

    other_work: of a measurement without them, see `validation.measurement_cost`.
    """
    windows = token_windows([TEXT.read_text("utf-8")], tokenizer, context_length)
    if not len(windows):
        return windows
    affordable = MAX_SHARE * other_work / (FORWARD_COST * windows.shape[1])
    return windows[: min(MAX_WINDOWS, int(affordable))]


@torch.no_grad()
def text_loss(loss: Loss, windows: torch.Tensor, device: torch.device) -> float:
    """Of the model as it is now, in nats per token."""
    total = 0.0
    for window in windows.tolist():
        batch = collate([TokenizedExample(window, [True] * len(window))], device)
        total += float(loss(batch).losses.sum())
    return total / (windows.shape[0] * (windows.shape[1] - 1))

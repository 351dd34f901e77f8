"""A batch as one sequence without padding, for attention kernels that take many lengths at once.

The examples are laid end to end. The ids of positions begin at 0 with each of them, and the
boundaries say where. transformers' flash attention reads the boundaries; every other attention of
transformers builds a mask from the position ids, in which each example sees itself alone.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional
from transformers.utils.import_utils import is_flash_attn_2_available

from worker.training.data import Batch

FLASH = "flash_attention_2"
log = logging.getLogger(__name__)


def use_flash_attention(model: Any) -> None:
    """Attention by the package flash-attn, where it is installed and knows this model."""
    if not is_flash_attn_2_available():
        return
    try:
        model.set_attn_implementation(FLASH)
    except (ValueError, ImportError) as problem:
        log.warning("flash-attn is not used: %s", problem)


@contextmanager
def masked_attention(model: Any) -> Iterator[None]:
    """Meanwhile torch's own attention: a decoder gives it masks that flash-attn cannot read."""
    if model.config._attn_implementation != FLASH:
        yield
        return
    model.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        model.set_attn_implementation(FLASH)


def reads_packed(model: Any) -> bool:
    """Whether this model's attention has a kernel for it: another one would only get a mask as
    large as the square of the tokens. A recurrent state would go on from example to example."""
    flash = model.config._attn_implementation == FLASH
    return flash and not getattr(model, "_is_stateful", False)


def pack(batch: Batch) -> tuple[dict[str, Any], torch.Tensor]:
    """Arguments of a model's forward pass, and the packed loss mask (1, tokens).

    input_ids, position_ids: (1, tokens). cu_seq_lens_q and _k: (batch + 1,) int32, the first token
    of each example and the number of all tokens. max_length_q and _k: tokens of the longest one.
    """
    order = torch.arange(batch.input_ids.shape[1], device=batch.input_ids.device)
    is_real = order < batch.lengths[:, None]
    boundaries = functional.pad(batch.lengths.cumsum(0), (1, 0)).to(torch.int32)
    longest = int(batch.lengths.max())
    inputs = {
        "input_ids": batch.input_ids[is_real][None],
        "position_ids": order.expand_as(is_real)[is_real][None],
        "cu_seq_lens_q": boundaries,
        "cu_seq_lens_k": boundaries,
        "max_length_q": longest,
        "max_length_k": longest,
    }
    return inputs, batch.loss_mask[is_real][None]

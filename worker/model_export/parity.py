"""Compares an export with the tested model on prompts.

The reference is the base model in fp32 with its adapter, as it was trained and tested. It answers
each prompt greedily. The export then reads the same tokens, and its logits are compared with the
reference's at every token of the answers; and it answers the prompts itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from finetune_app.core.chat_messages import Message
from worker.template import prompt_token_ids

Step = Callable[[], None]

# Allowed differences: the mean absolute difference of logits as a share of their standard
# deviation, and the share of tokens whose argmax must be the same. fp32 differs by the order
# of additions alone. For bf16 and q8_0: three times what was measured on the starter
# (docs/benchmarks/parity.md).
LIMITS = {"fp32": (0.0005, 0.999), "bf16": (0.1, 0.9), "f16": (0.01, 0.98), "q8_0": (0.1, 0.9)}


@dataclass(frozen=True)
class ReferenceAnswer:
    """The input_ids of a prompt and the reference's answer, the index where the answer starts, and
    the logits (answer tokens, vocabulary) that predict each token of the answer."""

    ids: list[int]
    start: int
    logits: Tensor

    @property
    def answer(self) -> list[int]:
        return self.ids[self.start :]


@dataclass(frozen=True)
class Parity:
    """The result. `max_difference` and `mean_difference` are of logits; `spread` is the standard
    deviation of the reference's logits."""

    prompts: int
    tokens: int
    max_difference: float
    mean_difference: float
    spread: float
    same_tokens: int
    same_answers: int
    passed: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[Message]],
    stops: set[int],
    limit: int,
    step: Step,
) -> list[ReferenceAnswer]:
    """Answer every prompt greedily with the reference, with at most `limit` tokens each."""
    readings = []
    for messages in prompts:
        asked = prompt_token_ids(tokenizer, messages)
        ids = answered(model, asked, stops, limit)
        readings.append(ReferenceAnswer(ids, len(asked), logits_of(model, ids, len(asked))))
        step()
    return readings


def compare(
    model: Any,
    readings: Sequence[ReferenceAnswer],
    stops: set[int],
    limit: int,
    number_format: str,
    step: Step,
) -> Parity:
    """Compare a model that was loaded back from its file with the reference's answers."""
    most = total = 0.0
    count = tokens = same_tokens = same_answers = 0
    for one in readings:
        found = logits_of(model, one.ids, one.start)
        width = min(found.shape[-1], one.logits.shape[-1])  # a padded vocabulary
        difference = (found[:, :width] - one.logits[:, :width]).abs()
        most = max(most, float(difference.max()))
        total += float(difference.double().sum())
        count += difference.numel()
        tokens += len(one.answer)
        same_tokens += int((found.argmax(-1) == one.logits.argmax(-1)).sum())
        same_answers += answered(model, one.ids[: one.start], stops, limit) == one.ids
        step()
    spread = float(torch.cat([one.logits for one in readings]).double().std())
    mean = total / max(count, 1)
    share, least = LIMITS[number_format]
    # A NaN compares as False, so a broken file fails here too.
    passed = mean <= share * spread and same_tokens >= least * tokens
    return Parity(
        len(readings), tokens, most, mean, spread, same_tokens, same_answers, bool(passed)
    )


@torch.inference_mode()
def logits_of(model: Any, ids: list[int], start: int) -> Tensor:
    """fp32 logits (len(ids) - start, vocabulary) that predict `ids[start:]`."""
    given = torch.tensor([ids], device=model.device)
    logits: Tensor = model(input_ids=given, use_cache=False).logits[0, start - 1 : -1]
    return logits.float().cpu()


@torch.inference_mode()
def answered(model: Any, prompt: list[int], stops: set[int], limit: int) -> list[int]:
    """`prompt` followed by the greedy answer with its end-of-turn token."""
    given = torch.tensor([prompt], device=model.device)
    out = model.generate(
        input_ids=given,
        attention_mask=torch.ones_like(given),
        max_new_tokens=limit,
        do_sample=False,
        eos_token_id=sorted(stops),
        pad_token_id=min(stops),
    )
    return [int(token) for token in out[0]]

"""Compares an export with the tested model on prompts.

The reference is the base model in fp32 with its adapter, as it was trained and tested: for QLoRA
the base model that is rounded to NF4. It answers each prompt greedily. The export then reads the
same tokens, and its logits are compared with the reference's at every token of the answers; and it
answers the prompts itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from finetune_app.core.chat_messages import Message
from finetune_app.model_export.job_messages import ParityResult
from worker.template import prompt_token_ids

Step = Callable[[], None]  # called after each prompt

# Allowed differences: the mean absolute difference of logits as a share of their standard
# deviation, and the share of tokens whose argmax must be the same. fp32 differs by the order
# of additions alone. For bf16 and q8_0: three times what was measured on the starter
# (docs/benchmarks/parity.md).
LIMITS = {"fp32": (0.0005, 0.999), "bf16": (0.1, 0.9), "f16": (0.01, 0.98), "q8_0": (0.1, 0.9)}


@dataclass(frozen=True)
class ReferenceAnswer:
    """The input_ids of a prompt and the reference's answer, the index where the answer starts, and
    the logits (answer tokens, vocabulary) that predict each token of the answer."""

    input_ids: list[int]
    start: int
    logits: Tensor


def answer_prompts(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[Message]],
    stop_token_ids: set[int],
    max_new_tokens: int,
    step: Step,
) -> list[ReferenceAnswer]:
    """Answer every prompt greedily with the reference."""
    references = []
    for messages in prompts:
        prompt = prompt_token_ids(tokenizer, messages)
        input_ids = _generate(model, prompt, stop_token_ids, max_new_tokens)
        logits = _answer_logits(model, input_ids, len(prompt))
        references.append(ReferenceAnswer(input_ids, len(prompt), logits))
        step()
    return references


def compare(
    model: Any,
    references: Sequence[ReferenceAnswer],
    stop_token_ids: set[int],
    max_new_tokens: int,
    number_format: str,
    step: Step,
) -> ParityResult:
    """Compare a model that was loaded back from its file with the reference's answers."""
    largest = total = 0.0
    count = tokens = same_tokens = same_answers = 0
    for one in references:
        logits = _answer_logits(model, one.input_ids, one.start)
        width = min(logits.shape[-1], one.logits.shape[-1])  # the vocabulary may be padded
        difference = (logits[:, :width] - one.logits[:, :width]).abs()
        largest = max(largest, float(difference.max()))
        total += float(difference.double().sum())
        count += difference.numel()
        tokens += len(one.input_ids) - one.start
        same_tokens += int((logits.argmax(-1) == one.logits.argmax(-1)).sum())
        prompt = one.input_ids[: one.start]
        same_answers += _generate(model, prompt, stop_token_ids, max_new_tokens) == one.input_ids
        step()
    spread = float(torch.cat([one.logits for one in references]).double().std())
    mean = total / max(count, 1)
    max_share, min_same = LIMITS[number_format]
    return {
        "prompts": len(references),
        "tokens": tokens,
        "max_difference": largest,
        "mean_difference": mean,
        "spread": spread,
        "same_tokens": same_tokens,
        "same_answers": same_answers,
        # A NaN compares as False, so a broken file fails here too.
        "passed": bool(mean <= max_share * spread and same_tokens >= min_same * tokens),
    }


@torch.inference_mode()
def _answer_logits(model: Any, input_ids: list[int], start: int) -> Tensor:
    """fp32 logits (len(input_ids) - start, vocabulary) that predict `input_ids[start:]`."""
    batch = torch.tensor([input_ids], device=model.device)
    logits: Tensor = model(input_ids=batch, use_cache=False).logits[0, start - 1 : -1]
    return logits.float().cpu()


@torch.inference_mode()
def _generate(
    model: Any, prompt: list[int], stop_token_ids: set[int], max_new_tokens: int
) -> list[int]:
    """`prompt` followed by the greedy answer with its end-of-turn token."""
    batch = torch.tensor([prompt], device=model.device)
    output = model.generate(
        input_ids=batch,
        attention_mask=torch.ones_like(batch),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=sorted(stop_token_ids),
        pad_token_id=min(stop_token_ids),
    )
    return [int(token) for token in output[0]]

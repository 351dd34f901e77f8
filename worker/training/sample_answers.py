"""The model's answers to a few validation prompts while it learns.

How many: `sample_prompts` in spec.py.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from finetune_app.goals.measures import get_measure
from finetune_app.training.protocol import SampleAnswer
from worker.template import prompt_token_ids, stop_token_ids
from worker.training.data import DatasetRow
from worker.training.model_loader import AdaptedModel
from worker.training.spec import TrainingSpec


def generate_samples(
    adapted: AdaptedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[DatasetRow],
    spec: TrainingSpec,
) -> list[SampleAnswer]:
    """Greedy answers to all prompts, in one batch."""
    if not rows:
        return []
    max_new_tokens = _max_new_tokens(tokenizer, rows, spec)
    # As in training, long prompts lose their beginning, so that the answer fits as well.
    room = max(1, spec.max_tokens - max_new_tokens)
    prompts = [prompt_token_ids(tokenizer, row.prompt)[-room:] for row in rows]
    answers = _answers(adapted, tokenizer, prompts, max_new_tokens)
    return [
        {
            "prompt": row.prompt[-1]["content"],
            "wanted": row.wanted,
            "answer": answer,
            "passed": _passed(spec.measure, answer, row),
        }
        for row, answer in zip(rows, answers, strict=True)
    ]


def _max_new_tokens(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[DatasetRow], spec: TrainingSpec
) -> int:
    """Enough to judge progress: half more than the longest wanted answer."""
    wanted = max(len(tokenizer(row.wanted)["input_ids"]) for row in rows)
    return min(spec.max_new_tokens, wanted + wanted // 2 + 16, spec.max_tokens - 1)


@torch.inference_mode()
def _answers(
    adapted: AdaptedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[int]],
    max_new_tokens: int,
) -> list[str]:
    width = max(map(len, prompts))
    input_ids = torch.zeros(len(prompts), width, dtype=torch.long)
    attention_mask = torch.zeros_like(input_ids)
    # Padded on the left, so that all answers begin at the same position.
    for row, prompt in enumerate(prompts):
        input_ids[row, width - len(prompt) :] = torch.tensor(prompt)
        attention_mask[row, width - len(prompt) :] = 1
    eos_token_ids = stop_token_ids(tokenizer)
    greedy = GenerationConfig(
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=sorted(eos_token_ids),
        pad_token_id=0,
    )
    was_training = adapted.model.training
    adapted.model.eval()
    try:
        out = adapted.model.generate(
            input_ids=input_ids.to(adapted.device),
            attention_mask=attention_mask.to(adapted.device),
            generation_config=greedy,
        )
    finally:
        adapted.model.train(was_training)
    return [_text(tokenizer, new.tolist(), eos_token_ids) for new in out[:, width:]]


def _text(tokenizer: PreTrainedTokenizerBase, token_ids: list[int], eos_token_ids: set[int]) -> str:
    end = next((i for i, token in enumerate(token_ids) if token in eos_token_ids), len(token_ids))
    return str(tokenizer.decode(token_ids[:end], skip_special_tokens=True)).strip()


def _passed(measure: dict[str, Any], answer: str, row: DatasetRow) -> bool | None:
    if not measure:
        return None
    checked = get_measure(measure["kind"], measure.get("settings", {}))
    if checked.needs_person or checked.needs_embedder:  # no room for another model beside training
        return None
    return checked.check(answer, row.wanted).passed

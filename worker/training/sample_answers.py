"""What the model answers to a few validation prompts while it learns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from finetune_app.goals.measures import get_measure
from worker.template import prompt_token_ids, stop_token_ids
from worker.training.data import DatasetRow
from worker.training.model_loader import AdaptedModel
from worker.training.spec import Spec


@dataclass(frozen=True)
class Sample:
    """One answer; `passed` is None where no measure can tell by itself."""

    prompt: str
    wanted: str
    answer: str
    passed: bool | None


def generate_samples(
    loaded: AdaptedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[DatasetRow], spec: Spec
) -> list[Sample]:
    """Greedy answers to all prompts at once."""
    if not rows:
        return []
    longest = _longest_worth_reading(tokenizer, rows, spec)
    # As in training, what is too long loses its beginning; the answer needs its room as well.
    room = max(1, spec.max_tokens - longest)
    prompts = [prompt_token_ids(tokenizer, row.prompt)[-room:] for row in rows]
    answers = _answers(loaded, tokenizer, prompts, longest)
    return [
        Sample(row.prompt[-1]["content"], row.wanted, answer, _passed(spec.measure, answer, row))
        for row, answer in zip(rows, answers, strict=True)
    ]


def _longest_worth_reading(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[DatasetRow], spec: Spec
) -> int:
    """A sample shows whether the model is on its way; one that rambles is cut early."""
    wanted = max(len(tokenizer(row.wanted)["input_ids"]) for row in rows)
    return min(spec.max_new_tokens, wanted + wanted // 2 + 16, spec.max_tokens - 1)


@torch.inference_mode()
def _answers(
    loaded: AdaptedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[int]], longest: int
) -> list[str]:
    width = max(map(len, prompts))
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    seen = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):  # padded on the left: answers begin together
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        seen[row, width - len(prompt) :] = 1
    stops = stop_token_ids(tokenizer)
    greedy = GenerationConfig(
        do_sample=False, max_new_tokens=longest, eos_token_id=sorted(stops), pad_token_id=0
    )
    was_training = loaded.model.training
    loaded.model.eval()
    try:
        out = loaded.model.generate(
            input_ids=ids.to(loaded.device),
            attention_mask=seen.to(loaded.device),
            generation_config=greedy,
        )
    finally:
        loaded.model.train(was_training)
    return [_text(tokenizer, new.tolist(), stops) for new in out[:, width:]]


def _text(tokenizer: PreTrainedTokenizerBase, ids: list[int], stops: set[int]) -> str:
    end = next((i for i, token in enumerate(ids) if token in stops), len(ids))
    return str(tokenizer.decode(ids[:end], skip_special_tokens=True)).strip()


def _passed(measure: dict[str, Any], answer: str, row: DatasetRow) -> bool | None:
    if not measure or measure["kind"] == "choice":
        return None
    checked = get_measure(measure["kind"], measure.get("settings", {}))
    return bool(checked.check(answer, row.wanted).passed)

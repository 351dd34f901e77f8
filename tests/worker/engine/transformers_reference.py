"""Reference answers and log-probabilities, computed by transformers and PEFT."""

from functools import cache
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from worker.engine.requests import GenerationRequest
from worker.template import load_tokenizer, prompt_token_ids, stop_token_ids

PROMPTS = [
    "Hello",
    "Where is my order? I have been waiting for two weeks now.",
    "a",
    "Sort this message: the wheel arrived bent",
    "Once upon a time there was",
    "Thank you, that was quick!",
    "1 2 3 4 5 6 7 8 9 10",
    "Please cancel it",
]


@cache
def reference_model(base: Path, adapter: Path | None):
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return (PeftModel.from_pretrained(model, adapter) if adapter else model).eval()


@cache
def reference_token_ids(base: Path, adapter: Path | None, prompt: str, length: int) -> list[int]:
    """The greedy answer to one prompt."""
    tokenizer = load_tokenizer(base)
    input_ids = torch.tensor([prompt_token_ids(tokenizer, [{"role": "user", "content": prompt}])])
    output = reference_model(base, adapter).generate(
        input_ids=input_ids,
        attention_mask=torch.ones_like(input_ids),
        max_new_tokens=length,
        do_sample=False,
        eos_token_id=sorted(stop_token_ids(tokenizer)),
        pad_token_id=0,
    )
    return output[0, input_ids.shape[1] :].tolist()


def ask(prompt: str, adapter: Path | None, length: int) -> GenerationRequest:
    return GenerationRequest([{"role": "user", "content": prompt}], adapter, max_new_tokens=length)


@torch.inference_mode()
def reference_logprobs(base, request: GenerationRequest, token_ids: list[int]) -> torch.Tensor:
    """Log-probabilities (tokens, vocabulary) of an answer, from one forward pass."""
    prompt = prompt_token_ids(load_tokenizer(base), request.messages)
    logits = reference_model(base, request.adapter)(torch.tensor([prompt + token_ids])).logits[0]
    return torch.log_softmax(logits[len(prompt) - 1 : -1], dim=-1)

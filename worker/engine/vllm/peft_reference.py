"""Log-probabilities of a text by transformers and PEFT, with and without an adapter: the reference
that vLLM is compared with. A program of its own, so that its memory is freed when it ends:

    python -m worker.engine.vllm.peft_reference < {"base", "adapter", "token_ids", "number_format"}
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict


class Reference(TypedDict, total=False):
    """base, tuned: log-probability of each token but the first. bad_adapter: why it is unusable."""

    base: list[float]
    tuned: list[float]
    bad_adapter: str


def compute(base: str, adapter: str, token_ids: Sequence[int], number_format: str) -> Reference:
    """On the CPU. `base` and `adapter` are folders, number_format is bf16 or fp32."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from worker.engine.adapters import BadAdapter, read_adapter
    from worker.engine.model_loader import DTYPES

    model = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=DTYPES[number_format],
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    input_ids = torch.tensor([list(token_ids)])

    @torch.inference_mode()
    def logprobs(model: Any) -> list[float]:
        logits = model(input_ids=input_ids, use_cache=False).logits[0].float()
        every = torch.log_softmax(logits, dim=-1)
        found = every[:-1].gather(1, input_ids[0, 1:, None])[:, 0].tolist()
        return [value if math.isfinite(value) else math.nan for value in found]

    model.eval()
    try:
        read_adapter(Path(adapter), model, DTYPES[number_format])
    except BadAdapter as error:
        return {"bad_adapter": str(error)}
    untuned = logprobs(model)
    tuned = PeftModel.from_pretrained(model, adapter, local_files_only=True).eval()
    return {"base": untuned, "tuned": logprobs(tuned)}


def main() -> None:
    print(json.dumps(compute(**json.load(sys.stdin))))


if __name__ == "__main__":
    main()

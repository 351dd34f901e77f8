"""What plain transformers and PEFT say of a text, with and without an adapter: the measure that
vLLM is held against. A program of its own, so that its memory goes with it:

    python -m worker.engine.vllm.peft_reference < {"base", "adapter", "ids", "number_format"}
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Answer = dict[str, Any]


def compute(base: str, adapter: str, ids: Sequence[int], number_format: str) -> Answer:
    """{"base", "tuned"}: log-probabilities of each token but the first, on the processor; or
    {"bad"}: why this adapter cannot be used with this base model."""
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
    text = torch.tensor([list(ids)])

    @torch.inference_mode()
    def scores(asked: Any) -> list[float]:
        sure = torch.log_softmax(asked(input_ids=text, use_cache=False).logits[0].float(), dim=-1)
        told = sure[:-1].gather(1, text[0, 1:, None])[:, 0].tolist()
        return [value if math.isfinite(value) else math.nan for value in told]

    model.eval()
    try:
        read_adapter(Path(adapter), model, DTYPES[number_format])
    except BadAdapter as problem:
        return {"bad": str(problem)}
    untouched = scores(model)
    tuned = PeftModel.from_pretrained(model, adapter, local_files_only=True).eval()
    return {"base": untouched, "tuned": scores(tuned)}


def main() -> None:
    print(json.dumps(compute(**json.load(sys.stdin))))


if __name__ == "__main__":
    main()

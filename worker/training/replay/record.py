"""Write the starter model's answers to the everyday prompts to starter.json.

    python -m worker.training.replay.record STARTER_FOLDER

Run it when the prompts or the starter model change; a test fails then.
"""

import json
import sys
from pathlib import Path

from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.training.replay.answers import (
    ANSWER_TOKENS,
    STARTER,
    prompts,
    prompts_digest,
    sha256_of,
)


def record(base_model: Path) -> None:
    """Generate the answers and write starter.json."""
    weights = base_model / "model.safetensors"
    with Engine(base_model, "fp32") as engine:
        requests = [
            GenerationRequest(messages, max_new_tokens=ANSWER_TOKENS) for messages in prompts()
        ]
        answers = [completion.token_ids for completion in engine.generate(requests)]
    facts = {
        "asked": prompts_digest().hexdigest(),
        "bytes": weights.stat().st_size,
        "sha256": sha256_of(weights),
    }
    lines = ",\n".join(json.dumps(tokens) for tokens in answers)
    STARTER.write_text(f'{json.dumps(facts)[:-1]}, "answers": [\n{lines}\n]}}\n', "utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]))

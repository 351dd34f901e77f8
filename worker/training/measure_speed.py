"""How fast does this machine train a base model? One short real run.

    python -m worker.training.measure_speed FOLDER < rows.json

`rows.json` is a list of conversations (lists of messages). Prints a JSON line:
{"tokens_per_second", "peak_memory_bytes", "number_format"}.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from worker.channel import Job
from worker.training.loop import run


class Listener:
    """Notes the speed of each step. The first steps pay for warming up, so the best one counts."""

    def __init__(self) -> None:
        self.speeds: list[float] = []

    def emit(self, event: str, **fields: Any) -> None:
        if event == "point" and fields.get("tokens_per_second"):
            self.speeds.append(float(fields["tokens_per_second"]))

    def stopping(self) -> bool:
        return False

    def check(self) -> None:
        """Nobody holds a lease on this."""


def measure(base_model: Path, conversations: list[list[dict[str, str]]]) -> dict[str, Any]:
    """Train on the conversations once; the result says how long the steps took."""
    with tempfile.TemporaryDirectory(prefix="finetune-measure-") as scratch:
        folder = Path(scratch)
        version = folder / "version.jsonl"
        rows = [
            {"id": number, "split": "train", "messages": messages}
            for number, messages in enumerate(conversations)
        ]
        version.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
        spec = {
            "base_model": str(base_model),
            "version": str(version),
            "epochs": 1,
            "sample_prompts": 0,
            "save_seconds": 3600.0,
        }
        heard = Listener()
        result = run(Job("training", folder, spec), heard)
    whole_run = result["tokens"] / max(result["seconds"], 0.001)
    return {
        "tokens_per_second": max([whole_run, *heard.speeds]),
        "peak_memory_bytes": result["peak_memory_bytes"],
        "number_format": result["number_format"],
    }


if __name__ == "__main__":
    found = measure(Path(sys.argv[1]), json.load(sys.stdin))
    print(json.dumps(found), flush=True)

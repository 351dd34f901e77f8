"""The kernel's own out-of-memory killer ends a training; the next attempt finishes it."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.starter import FOLDER, needs_starter

pytestmark = [pytest.mark.long, pytest.mark.timeout(900), needs_starter]

GROUPS = Path("/sys/fs/cgroup/memory")  # version 1
NO_LIMIT = 2**40
SHARE = 0.85  # of what it takes without a limit: too little for all rows at once
CHILD = """
import json, sys
from pathlib import Path
from worker.channel import Job
from worker.training import run

class Lines:
    def emit(self, event, **fields):
        print(json.dumps({"event": event, **fields}), flush=True)
    def stopping(self):
        return False
    def check(self):
        pass

folder = Path(sys.argv[1])
result = run(Job("training", folder, json.loads((folder / "spec.json").read_text())), Lines())
print(json.dumps({"event": "result", **result}), flush=True)
"""


@pytest.fixture
def limited():
    """Runs a command in a group of its own that gets so many bytes of memory."""
    group = GROUPS / f"finetune-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("only root may limit the memory of a process here (cgroup version 1)")

    def run_limited(limit: int, *command: str) -> subprocess.CompletedProcess[str]:
        (group / "memory.limit_in_bytes").write_text(str(limit))
        return subprocess.run(
            command,
            preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())) and None,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "OMP_NUM_THREADS": "2"},
        )

    yield run_limited
    group.rmdir()


def spec_of(folder: Path) -> dict:
    """Eight rows of about 500 tokens in one step."""
    rows = [
        {
            "id": number,
            "split": "train",
            "messages": [
                {"role": "user", "content": f"{number} " + "red green blue plum sand " * 95},
                {"role": "assistant", "content": "rust"},
            ],
        }
        for number in range(8)
    ]
    version = folder / "version.jsonl"
    version.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "base_model": str(FOLDER),
        "version": str(version),
        "epochs": 2,
        "batch_size": 8,
        "replay_share": 0,
        "number_format": "bf16",
        "sample_prompts": 0,
        "measure": {"kind": "exact", "settings": {}},
    }


def test_a_training_that_was_killed_for_its_memory_finishes_in_smaller_parts(limited, tmp_path):
    def attempt(folder: Path, limit: int) -> tuple[subprocess.CompletedProcess[str], list[dict]]:
        done = limited(limit, sys.executable, "-c", CHILD, str(folder))
        return done, [json.loads(line) for line in done.stdout.splitlines()]

    free, tight = tmp_path / "free", tmp_path / "tight"
    for folder in (free, tight):
        folder.mkdir()
        (folder / "spec.json").write_text(json.dumps(spec_of(folder)))
    limit = int(SHARE * attempt(free, NO_LIMIT)[1][-1]["peak_memory_bytes"])
    kills, events = 0, []
    for _attempt in range(5):
        done, events = attempt(tight, limit)
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr[-2000:]
        kills += 1
    print(f"\n{limit / 1e6:,.0f} MB: killed {kills} times, then {events[-1]['steps']} steps")
    assert kills > 0, "the limit was not reached"
    assert events[-1]["event"] == "result"
    assert events[-1]["steps"] == 2
    assert (tight / "adapter" / "adapter_model.safetensors").exists()
    assert any("because the memory was full" in one.get("text", "") for one in events)

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
MOST_KILLS = 4
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
    """Runs the training of a folder in a group of its own that gets so many bytes of memory."""
    group = GROUPS / f"finetune-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("only root may limit the memory of a process here (cgroup version 1)")

    def train_limited(limit: int, folder: Path) -> subprocess.CompletedProcess[str]:
        (group / "memory.limit_in_bytes").write_text(str(limit))
        return subprocess.run(
            [sys.executable, "-c", CHILD, str(folder)],
            preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())) and None,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "OMP_NUM_THREADS": "2"},
        )

    yield train_limited
    group.rmdir()


def folder_of(folder: Path) -> Path:
    """Of a training of eight rows of about 500 tokens in one step."""
    folder.mkdir()
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
    spec = {
        "base_model": str(FOLDER),
        "version": str(version),
        "epochs": 2,
        "batch_size": 8,
        "replay_share": 0,
        "number_format": "bf16",
        "sample_prompts": 0,
        "measure": {"kind": "exact", "settings": {}},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    return folder


def events_of(training: subprocess.CompletedProcess[str]) -> list[dict]:
    return [json.loads(line) for line in training.stdout.splitlines()]


def test_a_training_that_was_killed_for_its_memory_finishes_in_smaller_parts(limited, tmp_path):
    free, tight = (folder_of(tmp_path / name) for name in ("free", "tight"))
    unlimited = limited(NO_LIMIT, free)
    assert unlimited.returncode == 0, unlimited.stderr[-2000:]
    limit = int(SHARE * events_of(unlimited)[-1]["peak_memory_bytes"])
    kills = 0
    while (done := limited(limit, tight)).returncode and kills < MOST_KILLS:
        assert done.returncode == -9, done.stderr[-2000:]
        kills += 1
    assert done.returncode == 0, "killed at every attempt"
    events = events_of(done)
    print(f"\n{limit / 1e6:,.0f} MB: killed {kills} times, then {events[-1]['steps']} steps")
    assert kills > 0, "the limit was not reached"
    assert events[-1]["event"] == "result"
    assert events[-1]["steps"] == 2
    assert (tight / "adapter" / "adapter_model.safetensors").exists()
    assert any("because the memory was full" in one.get("text", "") for one in events)

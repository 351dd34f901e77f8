"""A runner that counts, without a model, in a real child process.

The child notes each step in a file with its own pid, so that a test sees who worked when without
trusting the supervisor's word. A checkpoint is a number in a file.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

from worker.channel import Job, UserError


def run(job: Job, channel: Any) -> dict[str, Any]:
    """Count to spec["steps"], one every spec["pause"] seconds; see `_trouble` for what can fail."""
    job.folder.mkdir(parents=True, exist_ok=True)
    saved = job.folder / "saved"
    first = int(saved.read_text()) + 1 if saved.exists() else 1
    channel.emit("phase", phase="counting", message="Counting")
    for step in range(first, job.spec["steps"] + 1):
        channel.check()
        _note(job.folder, step)
        time.sleep(job.spec["pause"])
        _trouble(job.spec.get("trouble", {}).get(str(step)), job.folder, step)
        channel.emit("progress", done=step, total=job.spec["steps"], unit="steps")
        channel.emit("point", step=step, loss=1 / step)
        _save(saved, step)
        if channel.stopping():
            return {"steps": step, "stopped": True}
    return {"steps": job.spec["steps"], "stopped": False}


def _note(folder: Path, step: int) -> None:
    with (folder / "steps.txt").open("a") as file:
        file.write(f"{step} {os.getpid()} {time.monotonic()}\n")


def _save(saved: Path, step: int) -> None:
    draft = saved.with_suffix(".part")
    draft.write_text(str(step))
    draft.replace(saved)


def _trouble(what: str | None, folder: Path, step: int) -> None:
    """Happens on the first visit of a step only, except "always_die"."""
    visits = (folder / "steps.txt").read_text().splitlines()
    again = sum(line.split()[0] == str(step) for line in visits) > 1
    if what == "always_die" or (what == "die" and not again):
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "print":
        print('{"event": "error", "code": "crash", "message": "only printed"}')
    if what == "raise":
        raise RuntimeError("a library gave up")
    if what == "user_error":
        raise UserError("bad_data", "Row 3 has no answer. Write one, then start again.")
    if what == "no_memory":
        raise MemoryError

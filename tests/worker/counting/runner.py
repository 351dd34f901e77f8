"""A runner that counts, in a real child process.

The child records each step with its pid, so a test sees which process worked when. A checkpoint is
a number in a file.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

from worker.channel import Job, UserError


def run(job: Job, channel: Any) -> dict[str, Any]:
    """Count to spec["steps"], one every spec["pause"] seconds. Faults: see `_inject_fault`."""
    job.folder.mkdir(parents=True, exist_ok=True)
    saved = job.folder / "saved"
    first = int(saved.read_text()) + 1 if saved.exists() else 1
    channel.emit("phase", phase="counting", message="Counting")
    for step in range(first, job.spec["steps"] + 1):
        channel.check()
        _record(job.folder, step)
        time.sleep(job.spec["pause"])
        _inject_fault(job.spec.get("fault", {}).get(str(step)), job.folder, step)
        channel.emit("progress", done=step, total=job.spec["steps"], unit="steps")
        channel.emit("point", step=step, loss=1 / step)
        _save(saved, step)
        if channel.stopping():
            return {"steps": step, "stopped": True}
    return {"steps": job.spec["steps"], "stopped": False}


def _record(folder: Path, step: int) -> None:
    with (folder / "steps.txt").open("a") as file:
        file.write(f"{step} {os.getpid()} {time.monotonic()}\n")


def _save(saved: Path, step: int) -> None:
    part = saved.with_suffix(".part")
    part.write_text(str(step))
    part.replace(saved)


def _inject_fault(what: str | None, folder: Path, step: int) -> None:
    """`what` happens only the first time a step is done, except "always_die"."""
    recorded = (folder / "steps.txt").read_text().splitlines()
    again = sum(line.split()[0] == str(step) for line in recorded) > 1
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

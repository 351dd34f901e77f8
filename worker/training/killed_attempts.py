"""A run that the kernel killed for its memory begins again in smaller parts.

Such a kill leaves no error behind. So every attempt writes down how many there have been on this
machine (/proc/vmstat) and in which parts it works, and deletes that when it ends by itself. An
attempt that finds the note of another, and more kills since, was killed for its memory.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

NOTE = "attempt.json"
COUNTER = Path("/proc/vmstat")


@dataclass(frozen=True)
class Attempt:
    """How it worked; see `State`.

    token_budget: padded tokens of the largest micro-batch; 0 while the model is loaded.
    """

    oom_kills: int
    token_budget: int = 0
    gradient_checkpointing: bool = False
    row_limit: int = 0


def killed_attempt(folder: Path) -> Attempt | None:
    """The last attempt, if the kernel killed it for its memory."""
    last = noted_attempt(folder)
    return last if last and oom_kills() > last.oom_kills else None


def noted_attempt(folder: Path) -> Attempt | None:
    """The last attempt, or the one under way."""
    try:
        return Attempt(**json.loads((folder / NOTE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def note_attempt(
    folder: Path,
    token_budget: int = 0,
    *,
    gradient_checkpointing: bool = False,
    row_limit: int = 0,
) -> None:
    attempt = Attempt(oom_kills(), token_budget, gradient_checkpointing, row_limit)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NOTE).write_text(json.dumps(asdict(attempt)))


def forget_attempt(folder: Path) -> None:
    (folder / NOTE).unlink(missing_ok=True)


def oom_kills() -> int:
    """How many processes this machine's kernel has killed for their memory; 0 where it does not
    say."""
    with suppress(OSError, ValueError):
        for line in COUNTER.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0

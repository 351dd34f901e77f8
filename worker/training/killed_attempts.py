"""A run that the kernel killed for its memory begins again in smaller parts.

Such a kill leaves no error behind. So every attempt writes down how many there have been on this
machine (/proc/vmstat) and in which parts it works, and deletes that when it ends by itself. An
attempt that finds the note of another, and more kills since, was killed for its memory.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from worker.channel import Channel, UserError

NOTE = "attempt.json"
COUNTER = Path("/proc/vmstat")


@dataclass(frozen=True)
class Attempt:
    """token_budget: padded tokens of the largest micro-batch; 0 while the model is loaded."""

    oom_kills: int
    token_budget: int = 0


def killed_attempt(folder: Path) -> Attempt | None:
    """The last attempt, if the kernel killed it for its memory."""
    try:
        last = Attempt(**json.loads((folder / NOTE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return last if oom_kills() > last.oom_kills else None


def note_attempt(folder: Path, token_budget: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NOTE).write_text(json.dumps(asdict(Attempt(oom_kills(), token_budget))))


def forget_attempt(folder: Path) -> None:
    (folder / NOTE).unlink(missing_ok=True)


def smaller_budget(killed: Attempt, longest: int, channel: Channel) -> int:
    """Half of what was too much.

    longest: tokens of the longest example. Raises UserError when there is nothing left to halve.
    """
    if not killed.token_budget:
        raise UserError(
            "out_of_memory",
            "The system ended the training while the model was loaded, because the memory was "
            "full. Close other programs, or choose a smaller base model.",
        )
    if killed.token_budget <= longest:
        raise too_small_for_one_row(longest)
    channel.emit(
        "warning",
        text="The system ended the training because the memory was full. It continues from its "
        "last saved point, and each step works through its rows in smaller parts. The result is "
        "the same; it takes a little longer.",
    )
    return max(killed.token_budget // 2, 1)


def too_small_for_one_row(longest: int) -> UserError:
    """longest: tokens of the longest example."""
    return UserError(
        "out_of_memory",
        f"The memory is not enough for a single row of {longest} tokens. Close other programs, "
        "shorten the longest rows, or choose a smaller base model.",
    )


def oom_kills() -> int:
    """How many processes this machine's kernel has killed for their memory; 0 where it does not
    say."""
    with suppress(OSError, ValueError):
        for line in COUNTER.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0

"""What reading a stranger's file may cost: memory, processor time, rows, characters."""

import resource
import signal
from types import FrameType
from typing import NoReturn

import psutil

from worker.channel import UserError

MEMORY_BYTES = 1_500_000_000  # on top of what the process already has
CPU_SECONDS = 900
MOST_ROWS = 5_000_000
MOST_COLUMNS = 1_000
MOST_CELL = 1_000_000  # characters
MOST_ROW = 4_000_000
MOST_MEMBERS = 1_000  # files in a zip
MOST_UNPACKED = 2_000_000_000  # bytes, of one file in a zip or of all of a Parquet file
MOST_RATIO = 100  # unpacked to packed, once it is more than
SMALL = 10_000_000  # bytes, below which no ratio can hurt
MOST_WORKBOOK = 300_000_000  # bytes unpacked: a workbook is read whole
MOST_SHEET_CELLS = 10_000_000  # corner to corner, empty ones included


def apply() -> None:
    """Limit this process. Only soft limits, so that it ends with a message, not a crash."""
    now = psutil.Process().memory_info().vms
    _soften(resource.RLIMIT_AS, now + MEMORY_BYTES)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _soften(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + CPU_SECONDS)
    signal.signal(signal.SIGXCPU, _too_long)


def _soften(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value if hard < 0 else min(value, hard), hard))


def _too_long(signum: int, frame: FrameType | None) -> NoReturn:
    raise UserError(
        "bad_data",
        "Reading this file took too long, so we stopped. Nothing was added. "
        "Try a part of it, or save it again as CSV.",
    )

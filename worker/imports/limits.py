"""What reading a stranger's file may cost: memory, processor time, rows, characters."""

import resource
import signal
from types import FrameType
from typing import NoReturn

import psutil

from worker.channel import UserError

MEMORY_BYTES = 1_500_000_000  # on top of what the process already has
CPU_SECONDS = 900
MAX_ROWS = 5_000_000
MAX_COLUMNS = 1_000
MAX_CELL = 1_000_000  # characters
MAX_ROW = 4_000_000
MAX_MEMBERS = 1_000  # files in a zip
MAX_UNPACKED = 2_000_000_000  # bytes, of one file in a zip or of all of a Parquet file
MAX_RATIO = 100  # unpacked to packed, once it is more than
ALWAYS_ALLOWED_BYTES = 10_000_000  # bytes, below which no ratio can hurt
MAX_WORKBOOK = 300_000_000  # bytes unpacked: a workbook is read whole
MAX_SHEET_CELLS = 10_000_000  # corner to corner, empty ones included


def apply_limits() -> None:
    """Limit this process. Only soft limits, so that it ends with a message, not a crash."""
    now = psutil.Process().memory_info().vms
    _set_soft_limit(resource.RLIMIT_AS, now + MEMORY_BYTES)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _set_soft_limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + CPU_SECONDS)
    signal.signal(signal.SIGXCPU, _too_long)


def _set_soft_limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value if hard < 0 else min(value, hard), hard))


def _too_long(signum: int, frame: FrameType | None) -> NoReturn:
    raise UserError(
        "bad_data",
        "Reading this file took too long, so we stopped. Nothing was added. "
        "Try a part of it, or save it again as CSV.",
    )

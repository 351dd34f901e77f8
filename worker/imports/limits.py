"""Limits of reading a file: memory, processor time, rows, characters.

The largest file that is taken at all: settings.py.
"""

import resource
import signal
from types import FrameType
from typing import NoReturn

import psutil

from worker.channel import UserError

MEMORY_BYTES = 1_500_000_000  # besides what the process uses already
CPU_SECONDS = 900
MAX_ROWS = 5_000_000
MAX_COLUMNS = 1_000
MAX_CELL_CHARACTERS = 1_000_000
MAX_ROW_CHARACTERS = 4_000_000
MAX_ZIP_MEMBERS = 1_000
MAX_UNPACKED_BYTES = 2_000_000_000  # of one file in a zip, or of all of a Parquet file
MAX_UNPACK_RATIO = 100  # unpacked size over packed size, of files above
ALWAYS_ALLOWED_BYTES = 10_000_000  # unpacked; up to this size any ratio is harmless
MAX_WORKBOOK_BYTES = 300_000_000  # unpacked: a workbook is read whole
MAX_SHEET_CELLS = 10_000_000  # of the whole area, empty ones included


class OutputLimit:
    """Counts what comes out of one file. What it says of its own size is not believed: some repeat
    one text millions of times."""

    def __init__(self, file_bytes: int, bytes_left: int = MAX_UNPACKED_BYTES) -> None:
        self._team_left = bytes_left
        self._left = min(
            MAX_UNPACKED_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_UNPACK_RATIO * file_bytes)
        )

    def count(self, size: int) -> None:
        """Raises UserError when more comes out than a file of this size may hold."""
        self._left -= size
        self._team_left -= size
        if self._team_left < 0:
            raise UserError(
                "no_disk",
                "The rows of this file do not fit into the space that is left for your team. "
                "Nothing was added. Delete imports, documents or exports that are not needed any "
                "more, or ask who runs Finetune for more space; then try again.",
            )
        if self._left < 0:
            raise UserError(
                "bad_data",
                f"Its rows are more than {MAX_UNPACK_RATIO} times as large as the file, as only "
                "happens in files that are made to fill a disk. Nothing was added. "
                "Save it as CSV or JSON lines.",
            )


def apply_limits() -> None:
    """Set soft limits on this process: exceeding them gives an error message, not a crash."""
    now = psutil.Process().memory_info().vms
    _set_soft_limit(resource.RLIMIT_AS, now + MEMORY_BYTES)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _set_soft_limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + CPU_SECONDS)
    signal.signal(signal.SIGXCPU, _raise_too_long)


def _set_soft_limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value if hard < 0 else min(value, hard), hard))


def _raise_too_long(signum: int, frame: FrameType | None) -> NoReturn:
    raise UserError(
        "bad_data",
        "Reading this file took too long, so we stopped. Nothing was added. "
        "Try a part of it, or save it again as CSV.",
    )

"""Reads workbooks and Parquet files in a process of their own.

Their libraries are native code that aborts the whole process when a hostile file asks for too much
memory. Here that becomes an error message. The process gets none of the environment variables of
this one, and inherits its limits (limits.py).
"""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune_app.imports.cell_values import parse_json
from worker.channel import UserError
from worker.imports.limits import OutputLimit
from worker.imports.progress import ByteMeter

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2", "LC_ALL": "C.UTF-8"}


def read_names(command: str, path: Path) -> list[str]:
    """The names of the sheets of a workbook ("sheets"), or of the columns of a Parquet file
    ("schema"). Raises UserError."""
    return [str(name) for name in next(iter(_read(command, path)))]


def read_table(
    command: str, path: Path, meter: ByteMeter, sheet: str = ""
) -> Iterator[tuple[int, list[Any]]]:
    """(line, cells) of every row of a sheet ("sheet") or a Parquet file ("parquet").

    Raises UserError.
    """
    size, done = path.stat().st_size, 0
    meter.watch(lambda: done, size)
    for value in _read(command, path, sheet):
        if isinstance(value, dict):
            done = size * int(value["done"]) // max(int(value["total"]), 1)
            continue
        for line, cells in value:
            yield int(line), cells


def _read(command: str, path: Path, sheet: str = "") -> Iterator[Any]:
    """The JSON values that sandbox_child.py prints. Raises UserError."""
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.imports.sandbox_child", command, str(path), sheet],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    ended, limit = False, OutputLimit(path.stat().st_size)
    try:
        assert process.stdout
        for line in process.stdout:
            limit.count(len(line))
            value = parse_json(line.decode())
            if isinstance(value, dict) and "error" in value:
                raise UserError("bad_data", str(value["error"]))
            if value == {"end": True}:
                ended = True
                break
            yield value
        if not ended:
            raise _explain(process.wait())
    except json.JSONDecodeError:
        raise _explain(process.wait()) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _explain(exit_status: int) -> UserError:
    if exit_status == -signal.SIGXCPU:
        return UserError(
            "bad_data",
            "Reading this file took too long, so we stopped. Nothing was added. "
            "Try a part of it, or save it again as CSV.",
        )
    return UserError(
        "bad_data",
        "Reading this file needs more memory than an import may use, or it is damaged. Nothing "
        "was added. Save it as CSV or JSON lines, or bring it in smaller parts.",
    )

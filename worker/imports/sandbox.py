"""Workbooks and Parquet, read by a process of their own.

Their readers are native code that ends the whole process when a hostile file asks for too much
memory. Here that ends in a sentence. The process gets no environment of ours, and the limits of
this one (limits.py) go over to it.
"""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune_app.imports.column_mapping import parse_json
from worker.channel import UserError

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2", "LC_ALL": "C.UTF-8"}


def read_in_child(step: str, path: Path, sheet: str = "") -> Iterator[Any]:
    """What the process (sandbox_child.py) prints, line by line. Raises UserError."""
    command = [sys.executable, "-m", "worker.imports.sandbox_child", step, str(path), sheet]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    ended = False
    try:
        assert process.stdout
        for line in process.stdout:
            told = parse_json(line.decode())
            if isinstance(told, dict) and "error" in told:
                raise UserError("bad_data", str(told["error"]))
            if told == {"end": True}:
                ended = True
                break
            yield told
        if not ended:
            raise _what_happened(process.wait())
    except json.JSONDecodeError:
        raise _what_happened(process.wait()) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _what_happened(status: int) -> UserError:
    if status == -signal.SIGXCPU:
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

"""The process that reads a workbook or a Parquet file: `sandbox_child COMMAND PATH SHEET`.

It prints one JSON value per line:
    sheets       ["Orders", "Archive"]
    sheet        [[line, ["cell", ...]], ...], and {"done", "total"} in rows
    schema       ["question", "answer"]
    parquet      [[line, ["cell" or a number, list, dict, null]], ...], {"done", "total"}
    all          {"error": "a sentence"} or, at the end, {"end": true}
"""

import json
import resource
import signal
import sys
from importlib import import_module
from typing import Any

from worker.imports import limits
from worker.imports.child_output import UnreadableFile

READERS = {
    "sheets": "calamine_child",
    "sheet": "calamine_child",
    "schema": "pyarrow_child",
    "parquet": "pyarrow_child",
}


def main() -> None:
    command, path, sheet = sys.argv[1:4]
    reader = import_module(f"worker.imports.{READERS[command]}")
    limits.apply_limits()
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)  # native code runs no handler of Python
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        for value in getattr(reader, command)(path, sheet):
            _print(value)
        _print({"end": True})
    except UnreadableFile as error:
        _print({"error": str(error)})
    except MemoryError:
        sys.exit(1)


def _print(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

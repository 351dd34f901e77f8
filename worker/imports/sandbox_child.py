"""The process that reads a workbook or a Parquet file: `sandbox_child STEP PATH SHEET`.

It prints JSON, a value a line:
    sheets       ["Orders", "Archive"]
    sheet        [[line, ["cell", ...]], ...], and {"done", "total"} in rows
    schema       ["question", "answer"]
    parquet      [[line, ["cell" or a number, list, dict, null]], ...], {"done", "total"}
    all          {"error": "a sentence"} or, when all is told, {"end": true}
"""

import json
import resource
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from worker.imports import limits

MODULES = {"sheets": "workbook", "sheet": "workbook", "schema": "parquet", "parquet": "parquet"}
BATCH = 200  # rows in a line at most,
CHARACTERS = 500_000  # or about so much text


def main() -> None:
    step, path, sheet = sys.argv[1:4]
    module = import_module(f"worker.imports.{MODULES[step]}")
    limits.apply_limits()
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)  # native code hears of nothing else
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        for told in getattr(module, step)(path, sheet):
            _print(told)
        _print({"end": True})
    except module.Refused as error:
        _print({"error": str(error)})
    except MemoryError:
        sys.exit(1)


def _print(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


def batches(rows: Iterator[list[Any]]) -> Iterator[list[Any]]:
    """Rows in lists that are neither long nor heavy."""
    some: list[Any] = []
    weight = 0
    for row in rows:
        some.append(row)
        weight += sum(len(cell) if isinstance(cell, str) else 50 for cell in row[1])
        if len(some) == BATCH or weight > CHARACTERS:
            yield some
            some, weight = [], 0
    if some:
        yield some


if __name__ == "__main__":
    main()

"""Speed and memory of importing a file: our import against libraries that read such files.

    python -m benchmarks.imports [--rows 1000000] [--letters 60] [--kinds jsonl csv]

A file of made-up pairs, each row another one, is read by each on the same machine, one after the
other, each in a process of its own. Ours looks at the whole file and then reads it, as the two
steps of an import do; what is written is a file of conversations and one of rejected rows. The
reference is `datasets.load_dataset`, which writes an Arrow table; polars and duckdb, where they are
installed (pip install polars duckdb), read it into memory.
Prints rows a second, the peak of resident memory and the ratio.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count, islice
from pathlib import Path

PARTS = ("chain", "saddle", "gear lever", "fork", "brake", "tyre", "bell", "light")
SENTENCE = "the workshop looks at it and writes to you as soon as it is ready to be fetched "

OURS = """
import json, sys
from pathlib import Path
from worker.channel import Job
from worker.imports import run
class Quiet:
    def emit(self, event, **fields): pass
    def stopping(self): return False
    def check(self): pass
file = Path(sys.argv[1])
job = lambda **spec: Job("import", file.parent, {"file": str(file), "file_name": file.name, **spec})
seen = run.run(job(step="inspect"), Quiet())
read = {"step": "read", "shape": seen["shape"], "mapping": seen["mapping"]}
done = run.run(job(**read, bytes_left=1 << 40), Quiet())
rows = done["kept"]
"""
THEIRS = {
    "datasets": """
import sys
from datasets import disable_progress_bars, load_dataset
disable_progress_bars()
kind = {"jsonl": "json"}.get(sys.argv[2], sys.argv[2])
rows = len(load_dataset(kind, data_files=sys.argv[1], cache_dir=sys.argv[3], split="train"))
""",
    "polars": """
import sys
import polars
read = {"jsonl": "read_ndjson"}.get(sys.argv[2], f"read_{sys.argv[2]}")
rows = getattr(polars, read)(sys.argv[1]).height
""",
    "duckdb": """
import sys
import duckdb
duckdb.sql(f"CREATE TABLE pairs AS SELECT * FROM '{sys.argv[1]}'")
rows = duckdb.sql("SELECT count(*) FROM pairs").fetchall()[0][0]
""",
}
REFERENCE = "datasets"
# Not ru_maxrss of the process itself: what started it, and may be large, counts in that.
REPORT = """
import resource
from pathlib import Path
own = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
others = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print("REPORT", rows, own // 1024, others // 1024)
"""


def pairs(rows: int, letters: int) -> Iterator[tuple[str, str]]:
    """Questions and answers, no two alike, with accents, quotes and line breaks."""
    rest = SENTENCE * (letters // len(SENTENCE) + 1)
    for number in range(rows):
        part = PARTS[number % len(PARTS)]
        yield (
            f"My {part} number {number} makes a noise; do you have time on Monday, café “Größe”?",
            f"topic: repair\nticket: {number:07}\nnote: {rest[:letters]}",
        )


def write(path: Path, rows: int, letters: int) -> None:
    every = pairs(rows, letters)
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["prompt", "answer"])
            writer.writerows(every)
    elif path.suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            for prompt, answer in every:
                row = {"prompt": prompt, "answer": answer}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    elif path.suffix == ".parquet":
        _write_parquet(path, every)
    else:
        _write_xlsx(path, every)


def _write_parquet(path: Path, every: Iterator[tuple[str, str]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("prompt", pa.string()), ("answer", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        while some := list(islice(every, 50_000)):
            columns = [list(column) for column in zip(*some, strict=True)]
            writer.write_table(pa.Table.from_arrays(list(map(pa.array, columns)), schema=schema))


def _write_xlsx(path: Path, every: Iterator[tuple[str, str]]) -> None:
    import xlsxwriter

    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["prompt", "answer"])
        for at, (prompt, answer) in zip(count(1), every, strict=False):
            sheet.write_string(at, 0, prompt)
            sheet.write_string(at, 1, answer)


def measured(code: str, *arguments: str) -> tuple[int, float, int]:
    """(rows, seconds, peak memory in MB). The larger of the process and of those it starts."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"},
    )
    seconds = time.monotonic() - began
    line = next(line for line in done.stdout.splitlines() if line.startswith("REPORT"))
    rows, own, others = map(int, line.split()[1:])
    return rows, seconds, max(own, others)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--letters", type=int, default=60, help="length of the longer part")
    parser.add_argument("--kinds", nargs="+", default=["jsonl", "csv", "parquet"])
    given = parser.parse_args()
    print("| file | MB | how | rows | seconds | rows/s | memory, MB | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in given.kinds:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"pairs.{kind}"
            write(path, given.rows, given.letters)
            compare(kind, path, folder)


def compare(kind: str, path: Path, folder: str) -> None:
    size = path.stat().st_size / 1e6
    runs = {"ours: look, then read": measured(OURS, str(path))}
    for library, code in THEIRS.items():
        if kind != "xlsx" and find_spec(library):
            runs[library] = measured(code, str(path), kind, f"{folder}/cache")
    rows, seconds, _memory = runs.get(REFERENCE, (0, 1.0, 0))
    reference = rows / seconds
    for how, (rows, seconds, memory) in runs.items():
        pace = rows / seconds
        ratio = f"{pace / reference:.2f}" if reference else "-"
        cells = (kind, f"{size:.0f}", how, f"{rows:,}", f"{seconds:.1f}", f"{pace:,.0f}", memory)
        print("| " + " | ".join(map(str, cells)) + f" | {ratio} |", flush=True)


if __name__ == "__main__":
    main()

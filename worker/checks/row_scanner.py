"""The first phase of a thorough check: the scan of each single row."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from finetune_app.checks import row_check_cache, row_scan
from finetune_app.checks.rules.base import CheckContext, CheckRow, RowScan, TokenLimit
from finetune_app.checks.rules.toxicity import MIN_TOXICITY
from worker.channel import Channel, Job
from worker.checks.stored_rows import RowFile, read_rows
from worker.checks.toxicity_and_tokens import TokenCounter, toxicity

BATCH = 500  # rows in one call of the heavy libraries


class RowScanner:
    """`rows()` reads and scans all rows; afterwards `scans` has the scan of each, by pk."""

    def __init__(self, job: Job, channel: Channel) -> None:
        self._folder, self._channel, self._total = job.folder, channel, job.spec["rows"]
        limit = job.spec["about"]["token_limit"]
        self.context = CheckContext(
            **job.spec["about"] | {"token_limit": TokenLimit(**limit) if limit else None}
        )
        self._counter = TokenCounter(job.spec["tokenizer"])
        self._model = (
            self.context.token_limit.key
            if self.context.token_limit and job.spec["tokenizer"]
            else ""
        )
        self.scans: dict[int, RowScan] = {}

    def rows(self) -> list[CheckRow]:
        before = self._earlier_scans()
        rows: list[CheckRow] = []
        waiting: list[tuple[CheckRow, str, RowScan]] = []
        with (self._folder / "looks.jsonl").open("a", encoding="utf-8") as file:
            for row, stored in read_rows(RowFile(self._folder / "rows.jsonl")):
                rows.append(row)
                digest = row_scan.fingerprint(row.messages, row.rejected)
                known = self._known(digest, stored) or self._known(digest, before.get(row.pk))
                if known:
                    self.scans[row.pk] = _shared(known)
                else:
                    waiting.append((row, digest, row_scan.scan(row.messages, row.rejected)))
                if len(waiting) == BATCH:
                    self._scan_batch(waiting, file)
                    waiting = []
                if len(rows) % BATCH == 0:
                    self._channel.check()
                    self._channel.emit(
                        "progress", done=len(rows), total=self._total, unit="examples"
                    )
                    if self._channel.stopping():
                        return rows
            self._scan_batch(waiting, file)
        return rows

    def _known(self, digest: str, stored: list[Any] | None) -> RowScan | None:
        """An earlier scan, if it is complete and of the same text and tokenizer."""
        if stored is None or stored[0] != digest or stored[3] is None:
            return None
        if self._model and stored[6] != self._model:
            return None
        return row_check_cache.scan_from_values(stored, self._model)

    def _scan_batch(self, waiting: list[tuple[CheckRow, str, RowScan]], file: Any) -> None:
        if not waiting:
            return
        conversations = [row.messages for row, _digest, _seen in waiting]
        scores = toxicity(conversations, [scan.language for _row, _digest, scan in waiting])
        sizes: list[Any] = self._counter.count(conversations) or [(None, None)] * len(conversations)
        for (row, digest, scan), toxic, (tokens, answer) in zip(
            waiting, scores, sizes, strict=True
        ):
            whole = replace(scan, toxic=toxic, tokens=tokens, answer_tokens=answer)
            self.scans[row.pk] = _shared(whole)
            line = [row.pk, digest, whole.marks, whole.language, toxic, tokens, answer, self._model]
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()

    def _earlier_scans(self) -> dict[int, list[Any]]:
        """The scans of an earlier attempt, by pk. Its last line may be incomplete."""
        return {line[0]: line[1:] for line in _lines(self._folder / "looks.jsonl")}


def _lines(path: Path) -> Iterator[list[Any]]:
    if not path.exists():
        return
    whole = path.read_bytes()
    whole = whole[: whole.rfind(b"\n") + 1]
    path.write_bytes(whole)
    for line in whole.splitlines():
        yield json.loads(line)


def _shared(scan: RowScan) -> RowScan:
    """Most rows only have a language: they share one object, which saves memory."""
    if scan.marks or scan.tokens is not None or (scan.toxic or 0) >= MIN_TOXICITY:
        return scan
    return _plain(scan.language)


@lru_cache(maxsize=200)
def _plain(language: str) -> RowScan:
    return RowScan((), language, 0.0)

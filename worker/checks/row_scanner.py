"""The first part of a check: what is to be seen in each row by itself."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from finetune_app.checks import row_check_cache, row_scan
from finetune_app.checks.rules.base import CheckContext, CheckRow, RowScan, TokenLimit
from worker.channel import Channel, Job
from worker.checks.stored_rows import RowFile, read_rows
from worker.checks.toxicity_and_tokens import TokenCounter, toxicity

AT_ONCE = 500  # rows judged by the heavy libraries together


class RowScanner:
    """`rows()` looks at all of them; afterwards `seen` has what was seen in each."""

    def __init__(self, job: Job, channel: Channel) -> None:
        self._folder, self._channel, self._total = job.folder, channel, job.spec["rows"]
        ruler = job.spec["about"]["ruler"]
        self.about = CheckContext(
            **job.spec["about"] | {"ruler": TokenLimit(**ruler) if ruler else None}
        )
        self._counter = TokenCounter(job.spec["tokenizer"])
        self._model = self.about.ruler.key if self.about.ruler and job.spec["tokenizer"] else ""
        self.seen: dict[int, RowScan] = {}

    def rows(self) -> list[CheckRow]:
        before = self._before()
        rows: list[CheckRow] = []
        waiting: list[tuple[CheckRow, str, RowScan]] = []
        with (self._folder / "looks.jsonl").open("a", encoding="utf-8") as file:
            for row, look in read_rows(RowFile(self._folder / "rows.jsonl")):
                rows.append(row)
                print_ = row_scan.fingerprint(row.messages)
                known = self._known(print_, look) or self._known(print_, before.get(row.pk))
                if known:
                    self.seen[row.pk] = _shared(known)
                else:
                    waiting.append((row, print_, row_scan.scan(row.messages)))
                if len(waiting) == AT_ONCE:
                    self._judge(waiting, file)
                    waiting = []
                if len(rows) % AT_ONCE == 0:
                    self._channel.check()
                    self._channel.emit(
                        "progress", done=len(rows), total=self._total, unit="examples"
                    )
                    if self._channel.stopping():
                        return rows
            self._judge(waiting, file)
        return rows

    def _known(self, print_: str, look: list[Any] | None) -> RowScan | None:
        """What an earlier look tells, if it was at this text and leaves nothing open."""
        if look is None or look[0] != print_ or look[3] is None:
            return None
        if self._model and look[6] != self._model:
            return None
        return row_check_cache.scan_from_values(look, self._model)

    def _judge(self, waiting: list[tuple[CheckRow, str, RowScan]], file: Any) -> None:
        if not waiting:
            return
        said = [row.messages for row, _print, _seen in waiting]
        rude = toxicity(said, [seen.language for _row, _print, seen in waiting])
        sizes: list[Any] = self._counter.count(said) or [(None, None)] * len(said)
        for (row, print_, seen), toxic, (tokens, answer) in zip(waiting, rude, sizes, strict=True):
            whole = replace(seen, toxic=toxic, tokens=tokens, answer_tokens=answer)
            self.seen[row.pk] = _shared(whole)
            line = [row.pk, print_, whole.marks, whole.language, toxic, tokens, answer, self._model]
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()

    def _before(self) -> dict[int, list[Any]]:
        """What an attempt that died had seen. Its last line may be torn."""
        return {line[0]: line[1:] for line in _lines(self._folder / "looks.jsonl")}


def _lines(path: Path) -> Iterator[list[Any]]:
    if not path.exists():
        return
    whole = path.read_bytes()
    whole = whole[: whole.rfind(b"\n") + 1]
    path.write_bytes(whole)
    for line in whole.splitlines():
        yield json.loads(line)


def _shared(seen: RowScan) -> RowScan:
    """Most rows have nothing to tell but their language: they share one object for it."""
    if seen.marks or seen.tokens is not None or (seen.toxic or 0) >= 0.5:
        return seen
    return _plain(seen.language)


@lru_cache(maxsize=200)
def _plain(language: str) -> RowScan:
    return RowScan((), language, 0.0)

"""Inspects and reads files in this process, with a channel that records."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker.imports.inspect import inspect_file
from worker.imports.read import read_rows


class Recorder:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def emit(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    def stopping(self) -> bool:
        return False

    def check(self) -> None:
        return None


@pytest.fixture
def channel() -> Recorder:
    return Recorder()


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[bytes], Path]:
    def store(content: bytes) -> Path:
        path = tmp_path / "upload"
        path.write_bytes(content)
        return path

    return store


@pytest.fixture
def import_file(stored, tmp_path, channel) -> Callable[..., tuple[list[dict], dict]]:
    """Inspect a file and read it with the inferred mapping: (rows kept, result)."""

    def take(content: bytes, name: str = "file.csv", **given: Any) -> tuple[list[dict], dict]:
        path = stored(content)
        inspection = inspect_file(path, name, given, channel)
        result = read_rows(path, tmp_path, inspection["shape"], inspection["mapping"], channel)
        text = (tmp_path / "rows.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.split("\n")[:-1]], result

    return take

"""What a job has computed so far; a job that is continued does not repeat it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class FinishedWork:
    """Key -> result, in a file of JSON lines that only grows.

    A process that is killed leaves at most one broken line at the end; it is left out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._results: dict[str, Any] = {}
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                try:
                    key, result = json.loads(line)
                except ValueError:
                    continue
                self._results[key] = result

    def get(self, key: str) -> Any:
        """None when it is not computed yet."""
        return self._results.get(key)

    def add(self, key: str, result: Any) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps([key, result])}")  # never on the line of a broken one
        self._results[key] = result

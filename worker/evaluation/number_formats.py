"""The number format in which each base model answers: chosen once, and kept while a job goes on."""

from __future__ import annotations

import json
from pathlib import Path

from worker.channel import UserError
from worker.engine.engine import Engine
from worker.engine.model_loader import BadModel
from worker.evaluation.inputs import Candidate


class NumberFormats:
    """Kept in the job's folder, so that a job that continues ends as it began."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "number_formats.json"
        self._chosen: dict[str, str] = {}
        if self._path.exists():
            self._chosen = json.loads(self._path.read_text())

    def of(self, base: Path) -> str:
        """What was chosen for this base model; "" where it has not answered yet."""
        return self._chosen.get(base.name, "")

    def keep(self, base: Path, number_format: str) -> None:
        self._chosen[base.name] = number_format
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._chosen))


def open_engine(base: Path, group: list[Candidate], formats: NumberFormats) -> Engine:
    """Load a base model for the candidates that share it.

    They answer in one batch, so a candidate that was tested before decides the format for all.
    """
    pinned = next((one.number_format for one in group if one.number_format != "auto"), "auto")
    try:
        # What is asked late must not be computed in another way than what is asked early.
        engine = Engine(base, formats.of(base) or pinned, may_merge=False)
    except (BadModel, OSError) as problem:
        raise UserError("bad_model", f"The base model could not be loaded. {problem}") from problem
    formats.keep(base, engine.number_format)
    return engine

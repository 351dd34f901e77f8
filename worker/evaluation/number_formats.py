"""The number format in which candidates are computed: chosen once for each base model, and kept
when a job resumes. A candidate whose weights are rounded (nf4 beside a QLoRA adapter, int8) keeps
its own."""

from __future__ import annotations

import json
from pathlib import Path

from finetune_app.core.engine_protocol import NUMBER_FORMATS_FILE, ROUNDED
from worker.channel import UserError
from worker.engine.engine import Engine
from worker.engine.model_loader import BadModel
from worker.evaluation.inputs import Candidate

MAX_SEQUENCES = 64  # nobody waits for a single answer, so a batch may be slower and larger


class NumberFormats:
    """Base model as it is -> number format, stored in the job's folder.

    A base model is named by its folder below DATA_DIR, which is another one on another machine.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NUMBER_FORMATS_FILE
        self._chosen: dict[str, str] = {}
        if self._path.exists():
            self._chosen = json.loads(self._path.read_text())

    def get(self, base: Path) -> str:
        """The chosen format; "" for a base model that was not loaded yet."""
        return self._chosen.get(_name(base), "")

    def of(self, candidate: Candidate) -> str:
        """The format in which a local candidate answers; "" as by `get`."""
        if candidate.number_format in ROUNDED:
            return candidate.number_format
        return self.get(candidate.base_model) if candidate.base_model else ""

    def store(self, base: Path, number_format: str) -> None:
        self._chosen[_name(base)] = number_format
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}")
        draft.write_text(json.dumps(self._chosen))
        draft.replace(self._path)


def _name(base: Path) -> str:
    return "/".join(base.parts[-2:])


def open_engine(group: list[Candidate], formats: NumberFormats) -> Engine:
    """Load the base model of candidates that share an engine (`candidate_runner.by_engine`).

    They answer in one batch, so the format of one that was tested before applies to all.

    Raises:
        UserError: the model cannot be loaded ("bad_model").
    """
    base = group[0].base_model
    assert base is not None
    if group[0].number_format in ROUNDED:
        return load_engine(base, group[0].number_format)
    pinned = next((one.number_format for one in group if one.number_format != "auto"), "auto")
    # A model that was tuned whole computes as its base model does, with which it is compared.
    of_base = next((formats.get(one.tuned_from) for one in group if one.tuned_from), "")
    engine = load_engine(base, formats.get(base) or of_base or pinned)
    formats.store(base, engine.number_format)
    return engine


def load_engine(base: Path, number_format: str) -> Engine:
    """Raises UserError when the model cannot be loaded ("bad_model"), or a package is missing."""
    try:
        # Without merging, so that all answers are computed alike.
        return Engine(base, number_format, max_sequences=MAX_SEQUENCES, may_merge=False)
    except (BadModel, OSError) as problem:
        raise UserError("bad_model", f"The base model could not be loaded. {problem}") from problem

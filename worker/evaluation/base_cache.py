"""What a base model answers to fixed prompts, kept from one evaluation to the next."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.engine.engine import Engine
    from worker.evaluation.paired_engine import PairedEngine


def cache_path(folder: Path, engine: Engine | PairedEngine, asked: Iterable[bytes]) -> Path:
    """A file in `folder`, named by a hash of the base model's files, its number format, that of its
    weights in torch, and everything that is asked."""
    digest = hashlib.sha256(f"{engine.number_format} {engine.loaded.dtype}".encode())
    for part in asked:
        digest.update(part)
    for path in sorted(engine.loaded.folder.glob("*")):
        found = path.stat()
        digest.update(f"{path} {found.st_size} {found.st_mtime_ns}".encode())
    return folder / f"{digest.hexdigest()[:32]}.json"


def read_cache(path: Path) -> Any:
    """None when there is none, or when it cannot be read."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def write_cache(path: Path, measured: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(measured), "utf-8")
    unfinished.replace(path)

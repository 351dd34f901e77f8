"""Checkpoints that survive a kill at any moment.

A checkpoint is a folder of three files (adapter, optimizer, state) and a marker, COMPLETE, which
holds their sha256 and is written last. The folder is renamed to its final name once everything in
it has been synced to disk. When a run resumes, folders whose hashes do not match are skipped.
How often one is written: `save_seconds` in spec.py.

    checkpoints/step-000030/adapter.safetensors
                            optimizer.safetensors
                            state.json
                            COMPLETE
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from worker.channel import UserError

KEEP_NEWEST = 2
MIN_FREE_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: adapter weights (all weights, where all are trained),
    `FlatAdamW.tensors`, and the run's state."""

    adapter: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    state: dict[str, Any]


def name_of(step: int) -> str:
    return f"step-{step:06d}"


def save(
    folder: Path,
    step: int,
    adapter: dict[str, torch.Tensor],
    optimizer: dict[str, torch.Tensor],
    state: Mapping[str, Any],
) -> str:
    """Write a checkpoint durably; returns its name. Raises UserError when the disk is full."""
    name = name_of(step)
    unfinished = folder / f".unfinished-{name}"
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        # Written without a copy in memory: all weights of a model can be many gigabytes.
        save_file(adapter, unfinished / "adapter.safetensors")
        save_file(optimizer, unfinished / "optimizer.safetensors")
        (unfinished / "state.json").write_text(json.dumps(state, indent=1))
        hashes = {}
        for path in sorted(unfinished.iterdir()):
            sync(path)
            hashes[path.name] = _sha256(path)
        write(unfinished / "COMPLETE", json.dumps(hashes, indent=1).encode())
        sync(unfinished)
        shutil.rmtree(folder / name, ignore_errors=True)
        unfinished.rename(folder / name)
        sync(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise as_user_error(error) from error
    return name


def newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is complete and undamaged."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        if is_complete(path):
            return load(path)
    return None


def load(path: Path) -> Checkpoint:
    return Checkpoint(
        load_file(path / "adapter.safetensors"),
        load_file(path / "optimizer.safetensors"),
        json.loads((path / "state.json").read_text()),
    )


def is_complete(path: Path) -> bool:
    """Whether every file named in COMPLETE exists and has the content it was written with."""
    try:
        hashes = json.loads((path / "COMPLETE").read_text())
        return bool(hashes) and all(_sha256(path / f) == h for f, h in hashes.items())
    except (OSError, ValueError, AttributeError):
        return False


def remove_old(folder: Path, best_step: int | None) -> None:
    """Keep the newest two and the best; remove all others, unfinished ones included."""
    for path in folder.glob(".unfinished-*"):
        shutil.rmtree(path, ignore_errors=True)
    names = sorted(path.name for path in folder.glob("step-*"))
    keep = {*names[-KEEP_NEWEST:], *([name_of(best_step)] if best_step is not None else [])}
    for name in set(names) - keep:
        shutil.rmtree(folder / name, ignore_errors=True)


def require_space(folder: Path, checkpoint_bytes: int, kept_bytes: int = 0) -> None:
    """Raises UserError unless the disk has room for all that a run keeps at once: the newest two
    checkpoints, the best, and one that is being written or exported; `kept_bytes` of kept steps;
    and for 2 GiB more."""
    there = sum(path.stat().st_size for path in (folder / "checkpoints").rglob("*.safetensors"))
    needed = max(0, (KEEP_NEWEST + 2) * checkpoint_bytes + kept_bytes - there) + MIN_FREE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            "no_disk",
            f"Training needs {needed / 1e9:.1f} GB of free disk space for its checkpoints, and "
            f"{free / 1e9:.1f} GB are free. Make room, then start again.",
        )


def as_user_error(error: Exception) -> Exception:
    """A UserError for a full disk; any other error unchanged.

    Libraries written in Rust, such as tokenizers, report it in the message only.
    """
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    if full or os.strerror(errno.ENOSPC) in str(error):
        return UserError(
            "no_disk",
            "The disk is full, so the training could not be saved. Everything up to the last "
            "checkpoint is kept: make room, then continue.",
        )
    return error


def write(path: Path, content: bytes) -> None:
    """Write a file and sync it to disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Sync a file, or the entries of a folder: a rename may otherwise be lost."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

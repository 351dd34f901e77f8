"""Installs a base model: list, small files, checks, weights, then one atomic rename.

installs/<slug>/plan.json   files to fetch, and their commit
installs/<slug>/model/      files so far; an incomplete file ends in .part
models/<slug>/              exists only when everything has been fetched and checked
"""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Protocol, TypedDict

from finetune_app.basemodels.job_messages import InstalledModel, SavedTensors
from worker.channel import Channel, Job, UserError
from worker.installs import checks
from worker.installs.files import File, InstallStopped, Plan, Tell, shards_of, verified
from worker.installs.folder import Folder
from worker.installs.hub import Hub
from worker.installs.starter import sync

NOTE = "finetune.json"  # file beside the model with its source
GIB = 1024**3
DISK_SPACE_FACTOR = 2.2  # times the model's size: the model, and files of training and serving
REPORT_SECONDS = 1.0


class Stopped(TypedDict):
    stopped: bool


class Source(Protocol):
    """The source of a model: a hub or a folder."""

    def plan(self) -> Plan: ...
    def fetch(self, plan: Plan, file: File, path: Path, tell: Tell) -> None: ...
    def close(self) -> None: ...


class Progress:
    """Reports the bytes so far about once a second; also checks for stop and the lease."""

    def __init__(self, channel: Channel, total: int) -> None:
        self._channel = channel
        self._total = total
        self._done = 0  # bytes of complete files
        self._next = 0.0

    def tell(self, of_this_file: int) -> None:
        self._channel.check()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + REPORT_SECONDS
            self._emit(self._done + of_this_file)
        if self._channel.stopping():
            raise InstallStopped

    def file_done(self, size: int) -> None:
        self._done += size
        self._emit(self._done)
        self._channel.check()

    def _emit(self, done: int) -> None:
        self._channel.emit("progress", done=done, total=self._total, unit="bytes")


def run(job: Job, channel: Channel) -> InstalledModel | Stopped:
    """Spec: {"source", "from_folder", "target": final folder, "token", "revision"}."""
    target = Path(job.spec["target"])
    if found := _installed(target, job.spec["source"]):
        return found  # only the report of completion was lost
    source = _source(job, target.parent.parent)
    try:
        found = _fetch_and_check(source, job, channel)
    except InstallStopped:
        return {"stopped": True}
    finally:
        source.close()
    if others := _installed(target, job.spec["source"]):
        found = others  # of a job that was quicker, and perhaps in use already
    else:
        _move_into_place(job.folder / "model", target, found)
    shutil.rmtree(job.folder, ignore_errors=True)
    return found


def _source(job: Job, data_dir: Path) -> Source:
    if job.spec["from_folder"]:
        return Folder(job.spec["source"], data_dir)
    return Hub(job.spec["source"], job.spec.get("token"), job.spec.get("revision", ""))


def _fetch_and_check(source: Source, job: Job, channel: Channel) -> InstalledModel:
    """Fetch and check all files in the job's folder."""
    channel.emit("phase", phase="listing", message="Looking at the model's files")
    draft = job.folder / "model"
    draft.mkdir(parents=True, exist_ok=True)
    plan = _plan(source, job, draft)
    if index := plan.index():
        _fetch(source, plan, [index], draft, Progress(channel, index.size))
    weights = plan.weights(shards_of(draft))
    total = sum(file.size for file in [*plan.small(), *weights])
    _check_disk_space(draft, total)

    channel.emit("phase", phase="fetching", message="Fetching the model")
    progress = Progress(channel, total)
    hashes = _fetch(source, plan, plan.small(), draft, progress)
    shape = checks.check_small_files(draft)
    hashes |= _fetch(source, plan, weights, draft, progress)

    channel.emit("phase", phase="checking", message="Checking the model")
    parameters = sum(checks.check_weights(draft / file.name) for file in weights)
    return {
        "source": plan.source,
        "revision": plan.revision,
        "licence": plan.licence,
        "gated": plan.gated,
        "architecture": shape.architecture,
        "context": shape.context,
        "parameters": parameters,
        "can_think": shape.can_think,
        "shape": {**shape.dimensions, "saved": _saved_tensors(draft)},
        "size": total,
        "files": hashes,
    }


def _saved_tensors(model: Path) -> dict[str, SavedTensors]:
    from worker.training.memory_plan import count_saved_tensors  # imports torch, for seconds

    return count_saved_tensors(model)


def _plan(source: Source, job: Job, draft: Path) -> Plan:
    """The saved plan; a local folder is listed again, since it can change, and a model of which
    another commit was agreed to meanwhile.

    Files in `draft` from another plan are deleted.
    """
    path = job.folder / "plan.json"
    earlier = Plan.load(path, job.spec["source"])
    agreed_to = job.spec.get("revision", "")
    if earlier and not job.spec["from_folder"] and agreed_to in ("", earlier.revision):
        return earlier
    plan = source.plan()
    if plan != earlier:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        plan.save(path)
    return plan


def _fetch(
    source: Source, plan: Plan, files: list[File], draft: Path, progress: Progress
) -> dict[str, str]:
    """Fetch the missing files. Returns SHA-256 by name."""
    hashes = {}
    for file in files:
        path = draft / file.name
        if not path.exists() or path.stat().st_size != file.size:
            source.fetch(plan, file, path, progress.tell)
        hashes[file.name] = verified(file, path)
        progress.file_done(file.size)
    return hashes


def _check_disk_space(draft: Path, total: int) -> None:
    """Raises UserError if the free disk space is not enough."""
    here = sum(path.stat().st_size for path in draft.iterdir())
    needed = DISK_SPACE_FACTOR * total + 2 * GIB - here
    free = shutil.disk_usage(draft).free
    if free < needed:
        raise UserError(
            "no_disk",
            f"The disk has {free / 1e9:.1f} GB free, and this model needs {needed / 1e9:.1f} GB: "
            f"{total / 1e9:.1f} GB for itself, the rest to work with it. Free some space, then "
            "press Continue.",
        )


def _move_into_place(draft: Path, target: Path, found: InstalledModel) -> None:
    """Rename into place after syncing to disk."""
    for left in draft.iterdir():
        if left.name not in found["files"]:
            left.unlink()
    (draft / NOTE).write_text(json.dumps(found, indent=1))
    sync(draft)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():  # left over: not a complete model
        shutil.rmtree(target)
    draft.rename(target)
    handle = os.open(target.parent, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def _installed(target: Path, source: str) -> InstalledModel | None:
    """The complete result of an earlier attempt that died just after the rename, or None."""
    try:
        found: InstalledModel = json.loads((target / NOTE).read_text())
        whole = all((target / name).exists() for name in found["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if whole and found.get("source") == source else None

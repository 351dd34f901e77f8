"""Pushes a tuned model to a repository of the hub, with the hub's official client.

Large files are sent one by one, and the hub keeps each: a run that was stopped or killed sends the
rest. Only the last step, one commit, makes anything visible. Whether the repository, the files
and the commit are there already is asked each time, so nothing is made twice.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar, cast

from finetune_app.basemodels.hub_client import (
    HubBusy,
    HubOffline,
    cause_of,
    hub_api,
)
from finetune_app.core.files import sha256_of
from finetune_app.model_export.job_messages import PushResult, PushSpec
from worker.channel import Channel, Job, LeaseLost, UserError
from worker.model_export import push_errors

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

Found = TypeVar("Found")
MODEL_FOLDER = "model"  # of a merged model in the zip; its files lie at the top of a repository
CARD = "README.md"
HUB_OWN = {".gitattributes"}  # which the hub puts into each repository
MAX_TRIES = 5  # in a row without an answer
REPORT_SECONDS = 1.0
SHA256_BLOCK = 1 << 20


class PushStopped(Exception):
    """The job was stopped."""


def run(job: Job, channel: Channel) -> PushResult:
    """Raises UserError for whatever a person can put right. Leaves no file here: a later run reads
    them again, and the hub has what was sent."""
    is_ours = True
    try:
        return Pusher(job, channel).push()
    except PushStopped:
        return {"stopped": True}
    except LeaseLost:
        is_ours = False  # another worker may read them
        raise
    finally:
        if is_ours:
            shutil.rmtree(job.folder, ignore_errors=True)


class Pusher:
    """One push; `channel` gets phases and the bytes that are there."""

    def __init__(self, job: Job, channel: Channel) -> None:
        self.spec = cast(PushSpec, job.spec)
        self.folder, self.channel = job.folder, channel
        self.repository = self.spec["repository"]
        self.sent = 0  # bytes of files that are on the hub
        self.total = 0
        self.is_committing = False
        self._next_report = 0.0

    def push(self) -> PushResult:
        self._phase("reading", "Reading what is to be pushed")
        self.files = self._files_to_push()
        self.total = sum(path.stat().st_size for path in self.files.values())
        try:
            self.api = hub_api(self.spec["token"], before=self._raise_if_stopped)
        except HubOffline:
            raise UserError("remote", push_errors.OFFLINE) from None
        self._phase("asking", "Looking at the repository on the hub")
        self._patiently(self._ensure_repository)
        self._phase("sending", "Sending the files")
        for name in self.files:
            self._patiently(partial(self._send, name))
        self._phase("committing", "Putting them into the repository")
        self.is_committing = True
        commit = self._patiently(self._commit)
        self._phase("checking", "Checking what lies there")
        self._patiently(partial(self._verify, commit))
        hashes = {name: sha256_of(path) for name, path in self.files.items()}
        return {"commit": commit, "files": hashes}

    # ---- What is pushed ----

    def _files_to_push(self) -> dict[str, Path]:
        """Path here by path there. Raises UserError unless it is what passed its check."""
        files = self.folder / "files"
        if self.spec["archive"]:
            unpack(Path(self.spec["archive"]), self.spec["archive_sha256"], files)
            found = {path.relative_to(files).as_posix(): path for path in files.rglob("*")}
            found = {name: path for name, path in found.items() if path.is_file()}
        else:
            found = {name: Path(path) for path, name in self.spec["files"]}
        card = self.folder / "card" / CARD
        card.parent.mkdir(parents=True, exist_ok=True)
        card.write_text(self.spec["card"], encoding="utf-8")
        return dict(sorted({**found, CARD: card}.items()))

    # ---- The repository ----

    def _ensure_repository(self) -> None:
        """It is there, ours, and as private as was wanted. Raises UserError."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            self._require_ours(self._info())
            return
        except RepositoryNotFoundError:
            pass  # not there, or hidden from us, which the next call tells
        self.api.create_repo(self.repository, private=not self.spec["public"])
        self._require_ours(self._info())

    def _require_ours(self, info: Any) -> None:
        """Raises UserError for a repository with files that were not pushed from here."""
        if bool(info.private) == self.spec["public"]:
            words = push_errors.IS_PRIVATE if info.private else push_errors.IS_PUBLIC
            raise UserError("remote", words.format(name=self.repository))
        there = {file.rfilename: file for file in info.siblings or []}
        foreign = set(there) - HUB_OWN - set(self.spec["earlier"])
        if not foreign or self.spec["earlier"]:
            return
        same = {name for name in foreign if self._is_same(name, there[name])}
        if foreign - same <= {CARD} and set(self.files) - {CARD} <= same:
            return  # the answer to our own commit was lost; its card may be older, it has a date
        raise UserError("remote", push_errors.NOT_OURS.format(name=self.repository))

    def _is_same(self, name: str, there: Any) -> bool:
        path = self.files.get(name)
        return path is not None and same_file(path, there)

    def _info(self, revision: str | None = None) -> Any:
        return self.api.repo_info(
            self.repository, revision=revision, files_metadata=True, timeout=60.0
        )

    # ---- The files ----

    def _send(self, name: str) -> None:
        """Send a large file unless the hub has it; small ones go with the commit."""
        path, before = self.files[name], self.sent
        with CountedFile(path, self._count) as file:
            self.api.preupload_lfs_files(self.repository, [_addition(name, file)], num_threads=1)
        self.sent = before + path.stat().st_size
        self._report(self.sent)

    def _count(self, position: int) -> None:
        """Called while a file is read: bytes of it so far."""
        self._raise_if_stopped()
        if time.monotonic() >= self._next_report:
            self._report(self.sent + position)

    def _commit(self) -> str:
        """Its hash. All files in one commit, on top of what was looked at."""
        from huggingface_hub import CommitOperationDelete

        files = self.files

        info = self._info()
        self._require_ours(info)
        there = {file.rfilename for file in info.siblings or []}
        gone = (set(self.spec["earlier"]) & there) - set(files) - HUB_OWN
        opened = [
            CountedFile(path, lambda _at: self._raise_if_stopped()) for path in files.values()
        ]
        try:
            adds = [_addition(name, file) for name, file in zip(files, opened, strict=True)]
            made = self.api.create_commit(
                self.repository,
                [*adds, *(CommitOperationDelete(name) for name in sorted(gone))],
                commit_message=self.spec["message"],
                parent_commit=info.sha,
                num_threads=1,
            )
        finally:
            for file in opened:
                file.close()
        return str(made.oid)

    def _verify(self, commit: str) -> None:
        """Raises UserError unless the commit has each file byte for byte."""
        there = {file.rfilename: file for file in self._info(commit).siblings or []}
        wrong = [
            name
            for name, path in self.files.items()
            if name not in there or not same_file(path, there[name])
        ]
        if wrong:
            raise UserError("not_the_same", push_errors.DIFFERENT.format(name=wrong[0]))

    # ---- Progress, stop, and trying again ----

    def _patiently(self, call: Callable[[], Found]) -> Found:
        """Try again while the hub is busy. Raises UserError, PushStopped and LeaseLost."""
        for attempt in range(1, MAX_TRIES + 1):
            self._raise_if_stopped()
            try:
                return call()
            except (UserError, PushStopped):
                raise
            except Exception as error:
                if stopped := cause_of(error, PushStopped):
                    raise stopped from None
                busy = cause_of(error, HubBusy)
                if busy is None:
                    raise push_errors.explained(
                        error, self.repository, self.is_committing
                    ) from None
                if attempt == MAX_TRIES:
                    raise UserError("remote", push_errors.NO_ANSWER) from None
                self._wait(busy.retry_after or 2.0 ** (attempt - 1))
        raise AssertionError("unreachable")

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._raise_if_stopped()
            time.sleep(min(0.2, max(until - time.monotonic(), 0.0)))

    def _phase(self, phase: str, message: str) -> None:
        self.channel.emit("phase", phase=phase, message=message)
        self._raise_if_stopped()

    def _report(self, done: int) -> None:
        self._next_report = time.monotonic() + REPORT_SECONDS
        self.channel.emit("progress", done=done, total=self.total, unit="bytes")

    def _raise_if_stopped(self) -> None:
        self.channel.check()
        if self.channel.stopping():
            raise PushStopped


class CountedFile(io.BufferedReader):
    """A file that tells how far it was read."""

    def __init__(self, path: Path, tell: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path))
        self._tell = tell

    def read(self, size: int | None = -1, /) -> bytes:
        self._tell(self.tell())
        return super().read(size)


def _addition(name: str, file: CountedFile) -> CommitOperationAdd:
    from huggingface_hub import CommitOperationAdd

    return CommitOperationAdd(path_in_repo=name, path_or_fileobj=file)


def same_file(path: Path, there: Any) -> bool:
    """Whether the hub's entry of a file is of these bytes."""
    if there.lfs:
        return bool(there.lfs.sha256 == sha256_of(path))
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        for block in iter(lambda: file.read(SHA256_BLOCK), b""):
            digest.update(block)
    return bool(there.blob_id == digest.hexdigest())


def unpack(archive: Path, sha256: str, folder: Path) -> None:
    """Unpack an export without its card: a merged model's files at the top.

    Raises UserError (not_the_same) unless the archive is the one that passed its check.
    """
    if not archive.exists() or sha256_of(archive) != sha256:
        raise UserError("not_the_same", push_errors.CHANGED)
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(archive) as packed:
        needed = sum(one.file_size for one in packed.infolist())
        folder.mkdir(parents=True)
        if shutil.disk_usage(folder).free < needed * 1.05:
            raise UserError("no_disk", push_errors.NO_DISK.format(gb=needed / 1e9))
        for one in packed.infolist():
            parts = PurePosixPath(one.filename).parts[1:]  # without the folder of the export
            parts = parts[1:] if parts[:1] == (MODEL_FOLDER,) else parts
            if one.is_dir() or not parts or parts == (CARD,):
                continue
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(one) as source, target.open("wb") as output:
                shutil.copyfileobj(source, output, SHA256_BLOCK)

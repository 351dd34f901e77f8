"""What a stub hub holds: repositories with their commits, and the faults that a test orders."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

LARGE_SUFFIXES = (".safetensors", ".gguf", ".bin", ".gz", ".zip", ".arrow")
GIT_ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


@dataclass(frozen=True)
class Blob:
    """A file of a commit. A large one is a pointer: its bytes lie with the objects."""

    content: bytes
    is_large: bool = False

    @property
    def oid(self) -> str:
        """As preupload and the list of files tell it."""
        return self.sha256 if self.is_large else self.git_oid

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def git_oid(self) -> str:
        body = self.pointer if self.is_large else self.content
        return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()

    @property
    def pointer(self) -> bytes:
        return (
            "version https://git-lfs.github.com/spec/v1\n"
            f"oid sha256:{self.sha256}\nsize {len(self.content)}\n"
        ).encode()


@dataclass
class Repository:
    kind: str
    repo_id: str
    private: bool
    files: dict[str, Blob] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)  # by sha256
    history: dict[str, dict[str, Blob]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)  # of its search result

    def commit(self, files: dict[str, Blob]) -> str:
        self.files = files
        told = json.dumps([len(self.commits), sorted(files), self.repo_id])
        self.commits.append(hashlib.sha1(told.encode()).hexdigest())
        self.history[self.commits[-1]] = dict(files)
        return self.commits[-1]

    def at(self, revision: str) -> dict[str, Blob] | None:
        return self.files if revision == "main" else self.history.get(revision)


@dataclass
class Fault:
    """Answers `status` to the next `times` requests with this method and text in the address;
    after they were carried out if `after`. Status 0 closes the connection without an answer."""

    method: str
    where: str
    status: int
    times: int = 1
    after: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    text: str = "<b>out of order</b>"


class Refused(Exception):
    def __init__(self, status: int, code: str = "", message: str = "", url: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.url = status, code, message, url

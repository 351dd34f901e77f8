"""A fake model hub: file lists, files by commit, byte ranges, gated repos, and failures."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "5" * 40


@dataclass
class Repo:
    """One model. `extra`: names that are only in its file list."""

    folder: Path
    token: str = ""  # required to download
    extra: list[str] = field(default_factory=list)
    commit: str = COMMIT
    facts: dict[str, Any] = field(default_factory=dict)  # that the list of files tells, too


class FakeHub:
    """Serves repos by id, with the failures that a test sets."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.requests: list[tuple[str, str | None, str | None]] = []  # path, range, authorization
        self.break_at: dict[str, int] = {}  # bytes after which one response of a file ends
        self.down_after: str = ""  # the hub stops responding at the first request for this file
        self.down = False
        self.ignore_ranges = False
        self.damage = ""  # this file's content is replaced by zeros
        self.page = b""  # the response to every request, as of a captive portal
        self.page_has_length = True
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, hub_id: str, folder: Path, **options: Any) -> Repo:
        self.repos[hub_id] = Repo(folder, **options)
        return self.repos[hub_id]

    def ranges_of(self, name: str) -> list[str | None]:
        return [given for path, given, _ in self.requests if path.endswith("/" + name)]

    def __enter__(self) -> "FakeHub":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        authorization = self.headers.get("Authorization")
        self.hub.requests.append((path, self.headers.get("Range"), authorization))
        if self.hub.down:
            self.close_connection = True
            return
        if self.hub.page:
            self._send_page(self.hub.page)
            return
        if path.startswith("/api/models/"):
            hub_id, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            repo = self.hub.repos.get(hub_id)
            self._list(repo if repo and revision in ("main", repo.commit) else None)
            return
        hub_id, _, rest = path[1:].partition("/resolve/")
        commit, _, name = rest.partition("/")
        repo = self.hub.repos.get(hub_id)
        if repo is None or commit != repo.commit or not (repo.folder / name).is_file():
            self._send_error(404, "EntryNotFound")
        elif repo.token and authorization != f"Bearer {repo.token}":
            self._send_error(401, "GatedRepo")
        else:
            self._send(repo, name)

    def _send_page(self, page: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if self.hub.page_has_length:
            self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
        self.close_connection = not self.hub.page_has_length

    def _list(self, repo: Repo | None) -> None:
        if repo is None:
            self._send_error(401, "RepoNotFound")  # as the public hub does without a token
            return
        names = [_sibling(path) for path in sorted(repo.folder.iterdir()) if path.is_file()]
        names += [{"rfilename": name, "size": 9} for name in repo.extra]
        body = json.dumps({"id": "x", "sha": repo.commit, "siblings": names, **repo.facts}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send(self, repo: Repo, name: str) -> None:
        if name == self.hub.down_after:
            self.hub.down = True
        body = (repo.folder / name).read_bytes()
        if name == self.hub.damage:
            body = bytes(len(body))
        start, range_header = 0, self.headers.get("Range")
        if range_header and not self.hub.ignore_ranges:
            start = int(range_header.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self._send_error(416, "")
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", repo.commit)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cut = self.hub.break_at.pop(name, None)
        if cut is not None or self.hub.down:
            self.wfile.write(body[start : start + (len(body) // 2 if cut is None else cut)])
            self.close_connection = True
            return
        self.wfile.write(body[start:])

    def _send_error(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _sibling(path: Path) -> dict[str, Any]:
    """An entry of the file list: weights with their SHA-256, other files with their git hash."""
    body = path.read_bytes()
    if path.suffix == ".safetensors":
        lfs = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}
        return {"rfilename": path.name, "size": len(body), "lfs": lfs}
    blob = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
    return {"rfilename": path.name, "size": len(body), "blobId": blob}

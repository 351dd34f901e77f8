"""A Hub on loopback that keeps to the protocol of `huggingface_hub` 2.4, and refuses all else.

Repositories with commits, large files through LFS (basic transfer), accounts, and faults that a
test orders. What breaks the protocol is answered with 400 and noted in `complaints`.
"""

import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.commits import Commits
from tests.hub.repositories import (
    GIT_ATTRIBUTES,
    LARGE_SUFFIXES,
    Blob,
    Fault,
    Refused,
    Repository,
)

TOKEN = "hf_kettleLaneWrites"


class StubHub:
    """`people`: what whoami tells, by token. `before`: called with (method, path) of a request."""

    def __init__(self) -> None:
        self.people: dict[str, dict[str, Any]] = {}
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.queries: list[dict[str, list[str]]] = []
        self.faults: list[Fault] = []
        self.complaints: list[str] = []
        self.uploads: list[str] = []  # sha256 of each object that was received
        self.before: Callable[[str, str], None] = lambda method, path: None
        self.on_fault: Callable[[], None] = lambda: None  # called before a fault is answered
        self.others: list[Callable[[Any, str, str, dict, bytes], Any]] = []  # further routes
        self.lock = threading.RLock()
        self.add_person(TOKEN, "kettle", ["lane"])
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add_person(
        self, token: str, name: str, organisations: list[str] | None = None, role: str = "write"
    ) -> None:
        orgs = [{"name": one, "type": "org"} for one in organisations or []]
        self.people[token] = {
            "type": "user",
            "id": name * 2,
            "name": name,
            "orgs": orgs,
            "auth": {"type": "access_token", "accessToken": {"displayName": "t", "role": role}},
        }

    def add(
        self,
        repo_id: str,
        files: dict[str, bytes] | None = None,
        *,
        kind: str = "model",
        private: bool = False,
        **facts: Any,
    ) -> Repository:
        made = Repository(kind, repo_id, private, facts=facts)
        made.commit({".gitattributes": Blob(GIT_ATTRIBUTES)})
        if files:
            blobs = {
                name: Blob(body, name.endswith(LARGE_SUFFIXES)) for name, body in files.items()
            }
            made.objects |= {blob.sha256: blob.content for blob in blobs.values() if blob.is_large}
            made.commit(made.files | blobs)
        self.repositories[kind, repo_id] = made
        return made

    def fault(self, method: str, where: str, status: int, **options: Any) -> None:
        self.faults.append(Fault(method, where, status, **options))

    def count(self, method: str, where: str) -> int:
        return sum(one == method and where in path for one, path in self.requests)

    def __enter__(self) -> "StubHub":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(Commits, BaseHTTPRequestHandler):
    hub: StubHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        split = urlsplit(self.path)
        path, query = unquote(split.path), parse_qs(split.query)
        self.hub.before(self.command, path)
        body, self.answer_headers = self._body(), {}
        with self.hub.lock:
            self.hub.requests.append((self.command, path))
            self.hub.bodies.append(body)
            self.hub.queries.append(query)
            fault = self._fault(path)
            if fault and not fault.after:
                return self._fail(fault)
            try:
                status, answer = 200, self._answer(path, query, body)
            except Refused as refused:
                headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
                return self._send(
                    refused.status, {"error": refused.message, "url": refused.url}, headers
                )
            if fault:
                return self._fail(fault)
        return self._send(status, answer, self.answer_headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            raise AssertionError("the store of large files wants a Content-Length")
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _fault(self, path: str) -> Fault | None:
        for fault in self.hub.faults:
            if fault.method == self.command and fault.where in path and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def _fail(self, fault: Fault) -> None:
        self.hub.on_fault()
        if fault.status == 0:
            self.close_connection = True
            self.connection.close()
            return
        self._send(fault.status, {"error": fault.text}, fault.headers)

    def _send(self, status: int, answer: Any, headers: dict[str, str]) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    # ---- What is asked ----

    def _answer(self, path: str, query: dict[str, list[str]], body: bytes) -> Any:
        if path.startswith("/_objects/"):
            return self._receive(path, body)
        for other in self.hub.others:
            found = other(self, self.command, path, query, body)
            if found is not None:
                return found
        asked = (self.command, path)
        if asked == ("GET", "/api/whoami-v2"):
            return self._person()
        if asked == ("POST", "/api/repos/create"):
            return self._create(json.loads(body))
        if asked == ("DELETE", "/api/repos/delete"):
            return self._delete(json.loads(body))
        if asked == ("POST", "/api/validate-yaml"):
            return self._validate(json.loads(body))
        if asked == ("GET", "/api/models"):
            return self._search(query)
        if path.endswith(".git/info/lfs/objects/batch") and self.command == "POST":
            return self._batch(path, json.loads(body))
        if found := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(.*))?", path):
            return self._of_repository(found[1][:-1], found[2], found[3] or "", query, body)
        if found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve("dataset" if found[1] else "model", *found.groups()[1:])
        if path == "/api/agent-harnesses":  # the client asks once a process, and does without
            raise Refused(404, message="not here")
        raise self._complain(f"no such address: {self.command} {path}", 404)

    def _complain(self, what: str, status: int = 400) -> Refused:
        self.hub.complaints.append(what)
        return Refused(status, message=what)

    def _fields(self, given: dict[str, Any], needed: set[str], allowed: set[str] = frozenset()):
        wrong = (needed - set(given)) | (set(given) - needed - allowed)
        if wrong:
            raise self._complain(f"{self.path}: {sorted(wrong)}")

    def _person(self) -> dict[str, Any]:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        person = self.hub.people.get(token)
        if person is None:
            raise Refused(401, message="Invalid credentials in Authorization header")
        return person

    def _require_write(self, namespace: str) -> None:
        person = self._person()
        if person["auth"]["accessToken"]["role"] == "read":
            raise Refused(403, message="you need a token with the role write")
        if namespace != person["name"] and namespace not in {o["name"] for o in person["orgs"]}:
            raise Refused(403, message=f"you have no rights in the namespace {namespace}")

    def _repository(self, kind: str, repo_id: str) -> Repository:
        found = self.hub.repositories.get((kind, repo_id))
        if found is None:
            raise Refused(404, "RepoNotFound", "Repository not found")
        if found.private:
            with suppress(Refused):
                self._require_read(repo_id.split("/")[0])
                return found
            raise Refused(404, "RepoNotFound", "Repository not found")
        return found

    def _require_read(self, namespace: str) -> None:
        person = self._person()
        if namespace != person["name"] and namespace not in {o["name"] for o in person["orgs"]}:
            raise Refused(403)

    def _create(self, given: dict[str, Any]) -> dict[str, Any]:
        self._fields(given, {"name", "organization", "visibility"}, {"type"})
        if given["visibility"] not in ("private", "public"):
            raise self._complain(f"visibility {given['visibility']}")
        namespace = given["organization"] or self._person()["name"]
        self._require_write(namespace)
        kind, repo_id = given.get("type", "model"), f"{namespace}/{given['name']}"
        if (kind, repo_id) in self.hub.repositories:
            raise Refused(409, message="You already created this model repo", url=repo_id)
        self.hub.add(repo_id, kind=kind, private=given["visibility"] == "private")
        return {"url": f"{self.hub.address}/{repo_id}", "name": repo_id, "id": "1"}

    def _delete(self, given: dict[str, Any]) -> dict[str, Any]:
        self._fields(given, {"name", "organization"}, {"type"})
        namespace = given["organization"] or self._person()["name"]
        self._require_write(namespace)
        key = (given.get("type", "model"), f"{namespace}/{given['name']}")
        if self.hub.repositories.pop(key, None) is None:
            raise Refused(404, "RepoNotFound")
        return {}

    def _validate(self, given: dict[str, Any]) -> dict[str, Any]:
        import yaml

        self._fields(given, {"content", "repoType"})
        head = re.match(r"---\n(.*?)\n---\n", given["content"], re.DOTALL)
        try:
            read = yaml.safe_load(head[1]) if head else {}
        except yaml.YAMLError:
            raise Refused(400, message="Invalid metadata in README.md") from None
        if read.get("license") == "other" and not read.get("license_name"):
            raise self._complain("license other wants a license_name")
        return {"warnings": [], "errors": []}

    def _search(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        allowed = {"search", "filter", "limit", "expand", "sort", "pipeline_tag", "author"}
        if set(query) - allowed:
            raise self._complain(f"search by {sorted(set(query) - allowed)}")
        words = query.get("search", [""])[0].lower()
        found = [
            {"id": one.repo_id, "modelId": one.repo_id, "private": False, "sha": one.commits[-1]}
            | one.facts
            for one in self.hub.repositories.values()
            if one.kind == "model" and not one.private and words in one.repo_id.lower()
        ]
        return found[: int(query.get("limit", ["1000"])[0])]

    def _of_repository(
        self, kind: str, repo_id: str, rest: str, query: dict[str, list[str]], body: bytes
    ) -> Any:
        repository = self._repository(kind, repo_id)
        what, _, revision = rest.partition("/")
        if self.command == "GET" and what in ("", "revision"):
            return self._info(repository, revision or "main")
        if self.command == "GET" and what == "tree":
            return self._tree(repository, revision)
        if self.command == "POST" and what == "preupload":
            return self._preupload(repository, json.loads(body))
        if self.command == "POST" and what == "commit":
            return self._commit(repository, body)
        raise self._complain(f"no such address: {self.command} {self.path}", 404)

    def _info(self, repository: Repository, revision: str) -> dict[str, Any]:
        files = repository.at(revision)
        if files is None:
            raise Refused(404, "RevisionNotFound")
        sha = repository.commits[-1] if revision == "main" else revision
        return {
            "_id": "1",
            "id": repository.repo_id,
            "sha": sha,
            "private": repository.private,
            "siblings": [_sibling(name, blob) for name, blob in sorted(files.items())],
            **repository.facts,
        }

    def _resolve(self, kind: str, repo_id: str, revision: str, name: str) -> bytes:
        repository = self._repository(kind, repo_id)
        blob = (repository.at(revision) or {}).get(name)
        if blob is None:
            raise Refused(404, "EntryNotFound")
        commit = repository.commits[-1] if revision == "main" else revision
        self.answer_headers = {"ETag": f'"{blob.oid}"', "X-Repo-Commit": commit}
        return blob.content

    def _tree(self, repository: Repository, revision: str) -> list[dict[str, Any]]:
        files = repository.at(revision.strip("/"))
        if files is None:
            raise Refused(404, "RevisionNotFound")
        return [
            {"type": "file", "path": name, "size": len(blob.content), "oid": blob.git_oid}
            for name, blob in sorted(files.items())
        ]


def _sibling(name: str, blob: Blob) -> dict[str, Any]:
    size = len(blob.content)
    told: dict[str, Any] = {"rfilename": name, "size": size, "blobId": blob.git_oid}
    if blob.is_large:
        told["lfs"] = {"sha256": blob.sha256, "size": size, "pointerSize": len(blob.pointer)}
    return told

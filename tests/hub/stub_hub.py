"""A Hub on loopback that keeps to the protocol of `huggingface_hub` 2.4, and refuses all else.

Repositories with commits, large files through LFS (basic transfer), accounts, and faults that a
test orders. What breaks the protocol is answered with 400 and noted in `complaints`.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_kettleLaneWrites"
LARGE_SUFFIXES = (".safetensors", ".gguf", ".bin", ".gz", ".zip", ".arrow")
GIT_ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
KINDS = {"model": "models", "dataset": "datasets"}


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


class _Handler(BaseHTTPRequestHandler):
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

    def _preupload(self, repository: Repository, given: dict[str, Any]) -> dict[str, Any]:
        self._require_write(repository.repo_id.split("/")[0])
        self._fields(given, {"files"}, {"gitIgnore"})
        answer = []
        for one in given["files"]:
            self._fields(one, {"path", "sample", "size"})
            base64.b64decode(one["sample"], validate=True)
            here = repository.files.get(one["path"])
            is_large = one["path"].endswith(LARGE_SUFFIXES) or one["size"] > 5_000_000
            answer.append(
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if is_large else "regular",
                    "shouldIgnore": False,
                    **({"oid": here.oid} if here else {}),
                }
            )
        return {"files": answer}

    def _batch(self, path: str, given: dict[str, Any]) -> dict[str, Any]:
        """https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md"""
        self._fields(given, {"operation", "transfers", "objects", "hash_algo"}, {"ref"})
        if self.headers.get("Accept") != "application/vnd.git-lfs+json":
            raise self._complain("an LFS batch without its media type")
        if (given["operation"], given["hash_algo"]) != ("upload", "sha256"):
            raise self._complain("only uploads by sha256")
        kind = "dataset" if path.startswith("/datasets/") else "model"
        repo_id = (
            path.removeprefix("/datasets").strip("/").removesuffix(".git/info/lfs/objects/batch")
        )
        repository = self._repository(kind, repo_id)
        self._require_write(repo_id.split("/")[0])
        objects = []
        for one in given["objects"]:
            self._fields(one, {"oid", "size"})
            found: dict[str, Any] = {"oid": one["oid"], "size": one["size"], "authenticated": True}
            if one["oid"] not in repository.objects:
                where = f"{self.hub.address}/_objects"
                end = f"{kind}/{repo_id}/{one['oid']}?X-Amz-Signature=s3cret"
                found["actions"] = {
                    "upload": {"href": f"{where}/put/{end}"},
                    "verify": {"href": f"{where}/verify/{end}"},
                }
            objects.append(found)
        return {"transfer": "basic", "objects": objects}

    def _receive(self, path: str, body: bytes) -> dict[str, Any]:
        _, _, action, kind, owner, name, oid = path.split("/")
        repository = self.hub.repositories[kind, f"{owner}/{name}"]
        if action == "put":
            if self.command != "PUT" or self.headers.get("Authorization"):
                raise self._complain("the store gets a PUT, and not the token")
            if len(body) < int(self.headers["Content-Length"]):
                raise Refused(400)  # whoever sent it is gone
            if hashlib.sha256(body).hexdigest() != oid:
                raise self._complain("the object is not what was announced")
            repository.objects[oid] = body
            self.hub.uploads.append(oid)
            return {}
        self._require_write(owner)
        given = json.loads(body)
        self._fields(given, {"oid", "size"})
        if len(repository.objects.get(oid, b"")) != given["size"] or given["oid"] != oid:
            raise Refused(422, message="the object is not there")
        return {}

    def _commit(self, repository: Repository, body: bytes) -> dict[str, Any]:
        """A commit as lines of JSON: a header, then one operation a line."""
        self._require_write(repository.repo_id.split("/")[0])
        if self.headers.get("Content-Type") != "application/x-ndjson":
            raise self._complain("a commit that is not x-ndjson")
        header, *operations = [json.loads(line) for line in body.splitlines()]
        self._fields(header["value"], {"summary", "description"}, {"parentCommit"})
        parent = header["value"].get("parentCommit")
        if parent and parent != repository.commits[-1]:
            raise Refused(412, message="A commit has happened since. Please refresh and try again.")
        files = dict(repository.files)
        for one in operations:
            self._apply(repository, files, one["key"], one["value"])
        oid = repository.commit(files)
        url = f"{self.hub.address}/{repository.repo_id}/commit/{oid}"
        return {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""}

    def _apply(
        self, repository: Repository, files: dict[str, Blob], key: str, value: dict[str, Any]
    ) -> None:
        if key == "file":
            self._fields(value, {"content", "path", "encoding"})
            content = base64.b64decode(value["content"], validate=True)
            if len(content) > 10_000_000:
                raise self._complain("a large file in a commit")
            files[value["path"]] = Blob(content)
        elif key == "lfsFile":
            self._fields(value, {"path", "algo", "oid", "size"})
            body = repository.objects.get(value["oid"])
            if value["algo"] != "sha256" or body is None or len(body) != value["size"]:
                raise self._complain("a pointer to an object that is not there")
            files[value["path"]] = Blob(body, is_large=True)
        elif key == "deletedFile":
            self._fields(value, {"path"})
            del files[value["path"]]
        else:
            raise self._complain(f"an operation {key}")


def _sibling(name: str, blob: Blob) -> dict[str, Any]:
    size = len(blob.content)
    told: dict[str, Any] = {"rfilename": name, "size": size, "blobId": blob.git_oid}
    if blob.is_large:
        told["lfs"] = {"sha256": blob.sha256, "size": size, "pointerSize": len(blob.pointer)}
    return told

"""How files get into a repository of the stub hub: preupload, Git LFS, and a commit in lines."""

import base64
import hashlib
import json
from typing import Any

from tests.hub.repositories import LARGE_SUFFIXES, Blob, Refused, Repository


class Commits:
    """A part of the stub's handler, which has the request and the checks."""

    hub: Any
    headers: Any
    command: str
    _complain: Any
    _fields: Any
    _repository: Any
    _require_write: Any

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

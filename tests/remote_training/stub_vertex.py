"""Google Cloud on loopback, made from the types of its clients: tokens for service accounts, a
bucket of Cloud Storage, tuning jobs, and a Gemini that answers.

Specs and rows are read with the client's own types, which take no unknown fields.
"""

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.genai import types

from tests.remote_training.loopback import KEY, LoopbackPlatform

PROJECT, REGION, BUCKET = "kettle-lane-tuning", "us-central1", "kettle-lane-examples"
PLACE = f"projects/{PROJECT}/locations/{REGION}"
JOBS = f"/v1beta1/{PLACE}/tuningJobs"
OBJECT = f"/storage/v1/b/{BUCKET}/o/.*"
MODEL = "gemini-2.5-flash"
PERMISSIONS = ["storage.objects.create", "storage.objects.delete", "storage.objects.get"]
SPECS = {
    "supervisedTuningSpec": types.SupervisedTuningSpec,
    "preferenceOptimizationSpec": types.PreferenceOptimizationSpec,
}
STATE = "JOB_STATE_"


@cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def now() -> str:
    return datetime.now(UTC).isoformat()


class StubVertex(LoopbackPlatform):
    kind = "vertex"
    base = ""
    model = MODEL
    states = {"waiting": "queued", "running": "running", "cancelled": "cancelled"}
    requests = {
        "token": ("POST", "/token"),
        "find file": ("GET", OBJECT),
        "upload": ("POST", f"/upload/storage/v1/b/{BUCKET}/o"),
        "find": ("GET", JOBS),
        "start": ("POST", JOBS),
        "poll": ("GET", f"{JOBS}/1"),
        "cancel": ("POST", f"{JOBS}/1:cancel"),
        "delete file": ("DELETE", OBJECT),
    }

    def __init__(self) -> None:
        super().__init__()
        self.permissions = PERMISSIONS
        self.begun: list[str] = []  # names of objects whose content comes in a request of its own
        self.reply: Callable[[str, str], str] = lambda model, prompt: f"{model}: {prompt}"

    @property
    def options(self) -> dict[str, str]:
        return {"project": PROJECT, "region": REGION, "bucket": BUCKET, "storage": self.url}

    @property
    def secret(self) -> str:
        pem = private_key().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return json.dumps(
            {
                "type": "service_account",
                "private_key_id": KEY,
                "private_key": pem.decode(),
                "client_email": f"tuner@{PROJECT}.iam.gserviceaccount.com",
                "token_uri": f"{self.url}/token",
            }
        )

    def become(self, state: str, **fields: Any) -> None:
        """What the platform makes of its only job."""
        known = f"{STATE}{state.upper()}"
        self.job.update(state=known if known in types.JobState.__members__ else state, **fields)

    def succeed(self, model: str = f"{PLACE}/endpoints/9") -> None:
        stats = {"totalBillableTokenCount": "1234", "tuningDatasetExampleCount": "48"}
        self.become(
            "succeeded",
            tunedModel={"model": f"{PLACE}/models/9@1", "endpoint": model},
            tuningDataStats={"supervisedTuningDataStats": stats},
        )

    def fail(self, why: str) -> None:
        self.become("failed", error={"code": 3, "message": why})

    def say(self, message: str, **data: float) -> str:
        """It has words of its own alone."""
        if data:
            return ""
        self.job["tuningJobState"] = "TUNING_JOB_STATE_PROCESSING_DATASET"
        return "processing dataset"

    def is_allowed(self, to: BaseHTTPRequestHandler, path: str) -> bool:
        if path == "/token":
            return True
        return to.headers.get("Authorization") == f"Bearer token-of-{self.key}"

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}}

    def route(self, to: BaseHTTPRequestHandler, path: str, body: bytes) -> Any:
        query = parse_qs(urlsplit(to.path).query)
        match to.command, path.strip("/").split("/"):
            case "POST", ["token"]:
                return self._token(body)
            case "GET", ["storage", "v1", "b", bucket, "iam", "testPermissions"]:
                if bucket != BUCKET:
                    return 404, self.error(404, "The specified bucket does not exist.")
                asked = query["permissions"]
                return 200, {"permissions": [one for one in asked if one in self.permissions]}
            case "POST", ["upload", "storage", "v1", "b", bucket, "o"] if bucket == BUCKET:
                if query["uploadType"] == ["resumable"]:
                    self.begun.append(json.loads(body)["name"])
                    return 200, {}, {"Location": f"{self.url}/resumable/{len(self.begun)}"}
                return self._upload(to.headers["Content-Type"], body)
            case "PUT", ["resumable", number]:
                return self._store(self.begun[int(number) - 1], body)
            case method, ["storage", "v1", "b", bucket, "o", name] if bucket == BUCKET:
                return self._object(method, unquote(name))
            case "GET", ["v1beta1", *rest] if "/".join(rest) == f"{PLACE}/tuningJobs":
                return 200, {"tuningJobs": [answer(job) for job in self.jobs.values()]}
            case "POST", ["v1beta1", *rest] if "/".join(rest) == f"{PLACE}/tuningJobs":
                return self._start(json.loads(body))
            case "GET", ["v1beta1", *rest] if "/".join(rest) in self.jobs:
                return 200, answer(self.jobs["/".join(rest)])
            case "POST", ["v1beta1", *rest] if "/".join(rest).removesuffix(":cancel") in self.jobs:
                return self._cancel(self.jobs["/".join(rest).removesuffix(":cancel")])
            case "POST", ["v1", *rest] if rest[-1].endswith(":streamGenerateContent"):
                return self._generate("/".join(rest).partition(":")[0], json.loads(body))
        return 404, self.error(404, f"No such thing: {path}")

    def _token(self, body: bytes) -> Any:
        form = {name: value[0] for name, value in parse_qs(body.decode()).items()}
        claims = jwt.decode(
            form["assertion"],
            private_key().public_key(),
            algorithms=["RS256"],
            audience=f"{self.url}/token",
        )
        assert claims["scope"].endswith("/cloud-platform")
        if self.key != KEY:
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        return 200, {"access_token": f"token-of-{self.key}", "expires_in": 3599}

    # ---- Cloud Storage ----

    def _upload(self, content_type: str, body: bytes) -> Any:
        """A multipart/related body: what the object is called, then its content."""
        boundary = content_type.partition("boundary=")[2].strip("\"'").encode()
        _start, described, sent, _end = body.split(b"--" + boundary)
        name = json.loads(described.partition(b"\r\n\r\n")[2])["name"]
        return self._store(name, sent.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n"))

    def _store(self, name: str, content: bytes) -> Any:
        for line in content.splitlines():
            if problem := row_problem(json.loads(line)):
                return 400, self.error(400, problem)
        self.files[name] = (name.rpartition("/")[2], content)
        self.uploads.append(self.files[name][0])
        return 200, self._described(name)

    def _object(self, method: str, name: str) -> Any:
        if name not in self.files:
            return 404, self.error(404, f"No such object: {BUCKET}/{name}")
        if method == "DELETE":
            del self.files[name]
            return 204, None
        return 200, self._described(name)

    def _described(self, name: str) -> dict[str, Any]:
        content = self.files[name][1]
        sums = {
            "size": str(len(content)),
            "crc32c": b64encode(google_crc32c.Checksum(content).digest()).decode(),
        }
        return {"kind": "storage#object", "name": name, "bucket": BUCKET, **sums}

    # ---- Tuning ----

    def _start(self, body: dict[str, Any]) -> Any:
        self.posted.append(body)
        [spec] = set(body) & set(SPECS)
        unknown = set(body) - {"baseModel", "tunedModelDisplayName", "labels", spec}
        if unknown:
            return 400, self.error(400, f"Unknown fields: {unknown}")
        if body["baseModel"] != MODEL:
            return 400, self.error(400, f"Base model {body['baseModel']} is not supported.")
        read = SPECS[spec].model_validate(body[spec])
        for uri in (read.training_dataset_uri, read.validation_dataset_uri):
            if uri and uri.removeprefix(f"gs://{BUCKET}/") not in self.files:
                return 400, self.error(400, f"No such file: {uri}")
        name = f"{PLACE}/tuningJobs/{len(self.jobs) + 1}"
        job = {"name": name, "state": "JOB_STATE_QUEUED", "createTime": now(), "updateTime": now()}
        self.jobs[name] = job | body
        return 200, answer(self.jobs[name])

    def _cancel(self, job: dict[str, Any]) -> Any:
        if job["state"] in ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"):
            return 400, self.error(400, "The job is over.")
        job["state"] = "JOB_STATE_CANCELLED"
        return 200, {}

    def _generate(self, model: str, body: dict[str, Any]) -> Any:
        """The whole answer, as one chunk of the stream."""
        if unknown := set(body) - {"contents", "systemInstruction", "generationConfig"}:
            return 400, self.error(400, f"Unknown fields: {unknown}")
        types.GenerationConfig.model_validate(body["generationConfig"])
        contents = [types.Content.model_validate(one) for one in body["contents"]]
        said = self.reply(model, contents[-1].parts[-1].text)
        chunk = {
            "candidates": [
                {"content": {"role": "model", "parts": [{"text": said}]}, "finishReason": "STOP"}
            ],
            "usageMetadata": {
                "promptTokenCount": 9,
                "candidatesTokenCount": 3,
                "thoughtsTokenCount": 40,
            },
        }
        types.GenerateContentResponse.model_validate(chunk)
        return 200, chunk


def row_problem(row: dict[str, Any]) -> str:
    """What is wrong with a row; "" where nothing is."""
    if unknown := set(row) - {"systemInstruction", "contents", "completions"}:
        return f"Unknown keys in a row: {unknown}"
    contents = [types.Content.model_validate(one) for one in row["contents"]]
    pairs = row.get("completions", [])
    contents += [types.Content.model_validate(one["completion"]) for one in pairs]
    if any(one.role not in ("user", "model") or not one.parts[0].text for one in contents):
        return "A turn without a role or a text"
    if pairs and sorted(one["score"] for one in pairs) != [0.0, 1.0]:
        return "A pair has a better and a worse answer"
    return ""


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """The job, which has to be one of the client's own types, unless its state is made up."""
    types.TuningJob.model_validate({**job, "state": "JOB_STATE_RUNNING"})
    return job

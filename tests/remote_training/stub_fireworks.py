"""Fireworks' managed fine-tuning on loopback, made from the types of the official client.

Bodies may have only the fields of the client's own parameters; ids are chosen by who asks, and one
that is there is refused.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any, get_type_hints
from urllib.parse import parse_qs, urlsplit

from fireworks.types import dpo_job_create_params, supervised_fine_tuning_job_create_params
from fireworks.types.dataset import Dataset
from fireworks.types.dataset_param import DatasetParam
from fireworks.types.dpo_job import DpoJob
from fireworks.types.supervised_fine_tuning_job import SupervisedFineTuningJob

from tests.remote_training.loopback import LoopbackPlatform, chat, form_fields

ACCOUNT = "kettle-lane"
HERE = f"/v1/accounts/{ACCOUNT}"
MODEL = "accounts/fireworks/models/qwen3-8b"
MARKED = "ft[0-9a-f]{32}"
JOBS = "supervisedFineTuningJobs"
IDS = {JOBS: "supervisedFineTuningJobId", "dpoJobs": "dpoJobId"}
TYPES = {JOBS: SupervisedFineTuningJob, "dpoJobs": DpoJob}


def names_of(params: Any) -> set[str]:
    """The names that the client writes for these parameters."""
    hints = get_type_hints(params, include_extras=True)
    return {_alias(hint) or name for name, hint in hints.items()}


def _alias(hint: Any) -> str:
    inner = getattr(hint, "__args__", (hint,))[0] if "Required" in str(hint) else hint
    marks = [*getattr(hint, "__metadata__", ()), *getattr(inner, "__metadata__", ())]
    return next((mark.alias for mark in marks if getattr(mark, "alias", None)), "")


FIELDS = {
    JOBS: names_of(supervised_fine_tuning_job_create_params.SupervisedFineTuningJobCreateParams),
    "dpoJobs": names_of(dpo_job_create_params.DpoJobCreateParams),
}


def now() -> str:
    return datetime.now(UTC).isoformat()


class StubFireworks(LoopbackPlatform):
    kind = "fireworks"
    base = ""
    model = MODEL
    states = {"waiting": "creating", "running": "running", "cancelled": "cancelled"}
    requests = {
        "find file": ("GET", f"{HERE}/datasets/{MARKED}-train"),
        "create dataset": ("POST", f"{HERE}/datasets"),
        "upload": ("POST", f"{HERE}/datasets/.*:upload"),
        "find": ("GET", f"{HERE}/{JOBS}/{MARKED}"),
        "start": ("POST", f"{HERE}/{JOBS}"),
        "poll": ("GET", f"{HERE}/{JOBS}/{MARKED}"),
        "cancel": ("POST", f"{HERE}/{JOBS}/{MARKED}:cancel"),
        "delete file": ("DELETE", f"{HERE}/datasets/{MARKED}-train"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.datasets: dict[str, dict[str, Any]] = {}
        self.reading = False  # files are not read yet
        self.refused = ""  # why files cannot be used
        self.reply: Callable[[str, str], str] = lambda model, prompt: f"{model}: {prompt}"

    @property
    def options(self) -> dict[str, str]:
        return {"account": ACCOUNT}

    def become(self, state: str, **fields: Any) -> None:
        """What the platform makes of its only job."""
        known = state.replace(" ", "_").upper()
        self.job.update(state=f"JOB_STATE_{known}" if state.islower() else state, **fields)

    def succeed(self, model: str = f"accounts/{ACCOUNT}/models/tuned-9") -> None:
        self.become("completed", jobProgress={"percent": 100, "inputTokens": 1234})
        if "trainingConfig" in self.job:
            self.job["trainingConfig"]["outputModel"] = model
        else:
            self.job["outputModel"] = model

    def fail(self, why: str) -> None:
        self.become("failed", status={"code": "INVALID_ARGUMENT", "message": why})

    def say(self, message: str, **data: float) -> str:
        """It has one word on how it stands, and a percentage."""
        if data:
            self.job["jobProgress"] = {"percent": 40, "epoch": 1}
        else:
            self.job["status"] = {"code": "OK", "message": message}
        return message

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"code": status, "message": message, "details": []}

    def route(self, to: BaseHTTPRequestHandler, path: str, body: bytes) -> Any:
        query = parse_qs(urlsplit(to.path).query)
        if path == "/inference/v1/chat/completions":
            asked = json.loads(body)
            return 200, chat(self.reply(asked["model"], asked["messages"][-1]["content"]))
        if not path.startswith(f"{HERE}/"):
            return 403, self.error(403, "This key is of another account.")
        match to.command, path.removeprefix(f"{HERE}/").split("/"):
            case "POST", ["datasets"]:
                return self._create(json.loads(body))
            case "POST", ["datasets", named] if named.removesuffix(":upload") in self.datasets:
                dataset = named.removesuffix(":upload")
                return self._upload(dataset, form_fields(to.headers["Content-Type"], body)["file"])
            case "GET", ["datasets", dataset] if dataset in self.datasets:
                return 200, self._dataset(dataset)
            case "DELETE", ["datasets", dataset] if dataset in self.datasets:
                del self.datasets[dataset]
                self.files.pop(dataset, None)
                return 200, {}
            case "GET", [kind] if kind == JOBS:
                return 200, {kind: list(self.jobs.values()), "totalSize": len(self.jobs)}
            case "POST", [kind] if kind in IDS:
                return self._start(kind, query[IDS[kind]][0], json.loads(body))
            case "GET", [kind, job] if f"{kind}/{job}" in self.jobs:
                return 200, held_to(TYPES[kind], self.jobs[f"{kind}/{job}"])
            case "POST", [kind, job] if f"{kind}/{job.removesuffix(':cancel')}" in self.jobs:
                return self._cancel(self.jobs[f"{kind}/{job.removesuffix(':cancel')}"])
        return 404, self.error(404, f"No such thing: {path}")

    def _create(self, body: dict[str, Any]) -> Any:
        dataset = body["datasetId"]
        if unknown := set(body["dataset"]) - names_of(DatasetParam):
            return 400, self.error(400, f"Unknown fields: {unknown}")
        if dataset in self.datasets:
            return 409, self.error(409, "This dataset is there already.")
        self.datasets[dataset] = body["dataset"]
        return 200, self._dataset(dataset)

    def _upload(self, dataset: str, content: str) -> Any:
        lines = content.strip().splitlines()
        if len(lines) != int(self.datasets[dataset]["exampleCount"]):
            return 400, self.error(400, "There are more or fewer examples than announced.")
        pair = {"input", "preferred_output", "non_preferred_output"}
        if any(set(json.loads(line)) not in ({"messages"}, pair) for line in lines):
            return 400, self.error(400, "This row has keys that nobody knows.")
        self.files[dataset] = (f"{dataset}.jsonl", content.strip().encode())
        self.uploads.append(dataset)
        return 200, {"id": dataset, "object": "file", "filename": f"{dataset}.jsonl"}

    def _dataset(self, dataset: str) -> dict[str, Any]:
        is_ready = dataset in self.files and not self.reading
        answer = {
            "name": f"accounts/{ACCOUNT}/datasets/{dataset}",
            "state": "READY" if is_ready else "UPLOADING",
            "status": {"code": "INVALID_ARGUMENT", "message": self.refused}
            if self.refused and dataset in self.files
            else {"code": "OK", "message": ""},
        }
        return held_to(Dataset, answer)

    def _start(self, kind: str, job_id: str, body: dict[str, Any]) -> Any:
        self.posted.append(body)
        if f"{kind}/{job_id}" in self.jobs:
            return 409, self.error(409, "This job is there already.")
        if unknown := set(body) - FIELDS[kind]:
            return 400, self.error(400, f"Unknown fields: {unknown}")
        model = body.get("baseModel") or body["trainingConfig"]["baseModel"]
        if model != MODEL:
            return 400, self.error(400, f"{model} cannot be tuned.")
        for named in filter(None, (body["dataset"], body.get("evaluationDataset"))):
            if named.removeprefix(f"accounts/{ACCOUNT}/datasets/") not in self.files:
                return 400, self.error(400, f"No such dataset: {named}")
        job = body | {
            "name": f"accounts/{ACCOUNT}/{kind}/{job_id}",
            "state": "JOB_STATE_CREATING",
            "status": {"code": "OK", "message": ""},
            "createTime": now(),
            "updateTime": now(),
        }
        self.jobs[f"{kind}/{job_id}"] = held_to(TYPES[kind], job)
        return 200, job

    def _cancel(self, job: dict[str, Any]) -> Any:
        if job["state"] in ("JOB_STATE_COMPLETED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"):
            return 400, self.error(400, "The job is over.")
        job["state"] = "JOB_STATE_CANCELLED"
        return 200, {}


def held_to(model: Any, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, which has to be one of the client's types, unless its state is made up."""
    known = {**answer, "state": "JOB_STATE_RUNNING"} if "createTime" in answer else answer
    model.model_validate(known)
    return answer

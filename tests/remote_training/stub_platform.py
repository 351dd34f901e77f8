"""A training platform on loopback with OpenAI's fine-tuning API, strict about what it is sent.

What it gets and what it answers is held to OpenAI's own description, and bodies may have only the
fields that the official client knows.
"""

import json
import time
from collections.abc import Callable
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jsonschema import Draft202012Validator
from openai.types.fine_tuning import job_create_params

from tests.openai_description import DESCRIPTION
from tests.remote_training.loopback import LoopbackPlatform, chat

MODELS = ("gpt-4.1-mini", "starter")
KNOWN_FIELDS = set(job_create_params.JobCreateParams.__annotations__)


class StubPlatform(LoopbackPlatform):
    kind = "openai"
    model = "gpt-4.1-mini"
    states = {"waiting": "validating_files", "running": "running", "cancelled": "cancelled"}
    requests = {
        "find file": ("GET", "/files"),
        "upload": ("POST", "/files"),
        "find": ("GET", "/fine_tuning/jobs"),
        "start": ("POST", "/fine_tuning/jobs"),
        "poll": ("GET", "/fine_tuning/jobs/ftjob-1"),
        "events": ("GET", "/fine_tuning/jobs/ftjob-1/events"),
        "cancel": ("POST", "/fine_tuning/jobs/ftjob-1/cancel"),
        "delete file": ("DELETE", "/files/file-1"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.reply: Callable[[str, str], str] = lambda model, prompt: f"{model}: {prompt}"

    def become(self, state: str, **fields: Any) -> None:
        """What the platform makes of its only job."""
        self.job.update(status=state, **fields)

    def fail(self, why: str) -> None:
        self.become("failed", error={"code": "x", "message": why, "param": None})

    def succeed(self, model: str = "ft:gpt-4.1-mini:team::9") -> None:
        self.become("succeeded", fine_tuned_model=model, trained_tokens=1234, finished_at=2)

    def say(self, message: str, **data: float) -> str:
        """Returns what of it is to be seen."""
        events = self.events.setdefault(self.job["id"], [])
        events.append(
            {
                "object": "fine_tuning.job.event",
                "id": f"ftevent-{len(events)}",
                "created_at": 1_790_000_000 + len(events),
                "level": "info",
                "message": message,
                "type": "metrics" if data else "message",
                "data": data,
            }
        )
        return message

    # ---- Requests ----

    def route(self, to: BaseHTTPRequestHandler, path: str, body: bytes) -> tuple[int, Any]:
        query = parse_qs(urlsplit(to.path).query)
        match to.command, path.strip("/").split("/"):
            case "GET", ["fine_tuning", "jobs"]:
                return 200, _page(list(self.jobs.values())[::-1], query)
            case "POST", ["fine_tuning", "jobs"]:
                return self._start(json.loads(body))
            case "GET", ["fine_tuning", "jobs", job, "events"] if job in self.jobs:
                return 200, _page(self.events.get(job, [])[::-1], query)
            case "POST", ["fine_tuning", "jobs", job, "cancel"] if job in self.jobs:
                return self._cancel(self.jobs[job])
            case "GET", ["fine_tuning", "jobs", job] if job in self.jobs:
                return 200, self.jobs[job]
            case "GET", ["files"]:
                return 200, _page([self._file(one) for one in self.files][::-1], query)
            case "POST", ["chat", "completions"]:
                return self._chat(json.loads(body))
            case "POST", ["files"]:
                return self._upload(to.headers["Content-Type"], body)
            case "DELETE", ["files", file] if file in self.files:
                del self.files[file]
                return 200, {"id": file, "object": "file", "deleted": True}
        return 404, _error(f"No such thing: {path}")

    def _start(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.posted.append(body)
        if unknown := set(body) - KNOWN_FIELDS:
            return 400, _error(f"Unknown fields: {unknown}")
        if problems := schema_errors("CreateFineTuningJobRequest", body):
            return 400, _error(problems)
        if body["model"] not in MODELS:
            return 404, _error(f"The model {body['model']} does not exist")
        if missing := {body["training_file"], body.get("validation_file")} - {None, *self.files}:
            return 400, _error(f"No such file: {missing}")
        job_id = f"ftjob-{len(self.jobs) + 1}"
        self.jobs[job_id] = {
            "id": job_id,
            "object": "fine_tuning.job",
            "model": body["model"],
            "status": "validating_files",
            "created_at": int(time.time()),
            "finished_at": None,
            "fine_tuned_model": None,
            "organization_id": "org-1",
            "result_files": [],
            "hyperparameters": body["method"][body["method"]["type"]]["hyperparameters"],
            "method": body["method"],
            "seed": body["seed"],
            "metadata": body.get("metadata"),
            "training_file": body["training_file"],
            "validation_file": body.get("validation_file"),
            "trained_tokens": None,
            "estimated_finish": None,
            "error": None,
        }
        return 200, self.jobs[job_id]

    def _cancel(self, job: dict[str, Any]) -> tuple[int, Any]:
        if job["status"] in ("succeeded", "failed", "cancelled"):
            return 400, _error("Job has already completed")
        job["status"] = "cancelled"
        return 200, job

    def _chat(self, body: dict[str, Any]) -> tuple[int, Any]:
        return 200, chat(self.reply(body["model"], body["messages"][-1]["content"]))

    def _upload(self, content_type: str, body: bytes) -> tuple[int, Any]:
        head = f"Content-Type: {content_type}\r\n\r\n".encode()
        parts = {
            part.get_param("name", header="content-disposition"): part
            for part in BytesParser().parsebytes(head + body).get_payload()
        }
        if set(parts) != {"file", "purpose"} or parts["purpose"].get_payload() != "fine-tune":
            return 400, _error("A file and its purpose, please.")
        name, content = parts["file"].get_filename(), parts["file"].get_payload(decode=True)
        for line in content.splitlines():
            if unknown := set(json.loads(line)) - ROW_FIELDS:
                return 400, _error(f"Unknown keys in a row: {unknown}")
        file_id = f"file-{len(self.uploads) + 1}"
        self.files[file_id] = (name, content)
        self.uploads.append(name)
        return 200, self._file(file_id)

    def _file(self, file_id: str) -> dict[str, Any]:
        name, content = self.files[file_id]
        return {
            "id": file_id,
            "object": "file",
            "bytes": len(content),
            "created_at": 1,
            "filename": name,
            "purpose": "fine-tune",
            "status": "processed",
        }


ROW_FIELDS = {"messages", "tools", "parallel_tool_calls"} | {
    "input",
    "preferred_output",
    "non_preferred_output",
}


def _page(found: list[dict[str, Any]], query: dict[str, list[str]]) -> dict[str, Any]:
    limit, after = int(query.get("limit", ["20"])[0]), query.get("after", [""])[0]
    start = next((n + 1 for n, one in enumerate(found) if one["id"] == after), 0)
    page = found[start : start + limit]
    return {"object": "list", "data": page, "has_more": len(found) > start + limit}


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": None}}


def schema_errors(name: str, body: Any) -> str:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DESCRIPTION["components"]}
    return "; ".join(one.message for one in Draft202012Validator(schema).iter_errors(body))

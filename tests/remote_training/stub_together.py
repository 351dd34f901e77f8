"""Together's fine-tuning API on loopback, made from the types of the official client.

Bodies may have only the fields of the client's own request, jobs are answered in its own types, and
files come in the three steps of its uploads: announced, sent to a storage, read.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

from together.lib.types.fine_tuning import FinetuneRequest
from together.types.file_response import FileResponse
from together.types.fine_tuning_list_response import Data
from together.types.finetune_event import FinetuneEvent
from together.types.finetune_response import FinetuneResponse

from tests.remote_training.loopback import LoopbackPlatform, chat, form_fields

MODEL = "Qwen/Qwen3-8B"
LORA = {
    "default_rank": 8,
    "max_batch_size": 8,
    "max_batch_size_dpo": 8,
    "max_rank": 64,
    "min_batch_size": 1,
    "target_modules": ["q", "k"],
}
LIMITS = {
    "model_name": MODEL,
    "default_gradient_accumulation_steps": 1,
    "lora_training": LORA,
    "max_learning_rate": 1.0,
    "max_num_checkpoints": 10,
    "max_num_epochs": 20,
    "max_num_evals": 100,
    "max_seq_length_dpo": 4096,
    "max_seq_length_sft": 8192,
    "merge_output_lora": True,
    "min_learning_rate": 0.0,
    "min_max_seq_length": 64,
    "supports_full_training": False,
    "supports_reasoning": False,
    "supports_tools": True,
    "supports_vision": False,
}
PAIR_FIELDS = {"input", "preferred_output", "non_preferred_output"}
ROW_FIELDS = [{"messages"}, {"messages", "tools"}, PAIR_FIELDS]


def now() -> str:
    return datetime.now(UTC).isoformat()


class StubTogether(LoopbackPlatform):
    kind = "together"
    model = MODEL
    states = {"waiting": "pending", "running": "running", "cancelled": "cancelled"}
    requests = {
        "find file": ("GET", "/files"),
        "upload": ("PUT", "/storage/.*"),
        "announce": ("POST", "/files"),
        "read": ("POST", "/files/file-1/preprocess"),
        "check files": ("GET", "/files/file-1"),
        "find": ("GET", "/fine-tunes"),
        "limits": ("GET", "/fine-tunes/models/limits"),
        "price": ("POST", "/fine-tunes/estimate-price"),
        "start": ("POST", "/fine-tunes"),
        "poll": ("GET", "/fine-tunes/ft-1"),
        "events": ("GET", "/fine-tunes/ft-1/events"),
        "cancel": ("POST", "/fine-tunes/ft-1/cancel"),
        "delete file": ("DELETE", "/files/file-1"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.announced: dict[str, dict[str, str]] = {}
        self.status: dict[str, str] = {}  # of a file
        self.reports: dict[str, str] = {}  # why a file cannot be used
        self.events: list[dict[str, Any]] = []
        self.metrics: list[dict[str, float]] = []
        self.credit = True
        self.price = 0.001
        self.priced: list[dict[str, Any]] = []  # what its price was asked of
        self.reading = False  # files are not read yet
        self.storage = ""  # another address than the stub's
        self.reply: Callable[[str, str], str] = lambda model, prompt: f"{model}: {prompt}"

    def become(self, state: str, **fields: Any) -> None:
        """What the platform makes of its only job."""
        self.job.update(status=state, **fields)

    def succeed(self, model: str = f"team/{MODEL}-ft-9") -> None:
        self.become("completed", model_output_name=model, token_count=1234)

    def fail(self, why: str) -> None:
        self.become("error")
        self._tell("job_error", why, level="error")

    def say(self, message: str, **data: float) -> str:
        if data:
            self.metrics.append(
                {"global_step": data["step"], "train/loss": data["train_loss"]}
                | ({"eval/loss": data["valid_loss"]} if "valid_loss" in data else {})
            )
        else:
            self._tell("training_start", message)
        return message

    def _tell(self, kind: str, message: str, level: str = "info") -> None:
        event = {"object": "fine-tune-event", "created_at": now(), "message": message}
        self.events.append(held_to(FinetuneEvent, event | {"type": kind, "level": level}))

    def is_allowed(self, to: BaseHTTPRequestHandler, path: str) -> bool:
        if path.startswith("/storage/"):  # where the address is the permission
            return "Authorization" not in to.headers
        return super().is_allowed(to, path)

    def route(self, to: BaseHTTPRequestHandler, path: str, body: bytes) -> Any:
        match to.command, path.strip("/").split("/"):
            case "GET", ["files"]:
                return 200, {"data": [self._file(one) for one in self.files]}
            case "POST", ["files"]:
                return self._announce(form_fields(to.headers["Content-Type"], body))
            case "PUT", ["storage", file]:
                return self._store(file, body)
            case "POST", ["files", file, "preprocess"] if file in self.files:
                self.status[file] = self._read(file)
                return 200, self._file(file)
            case "GET", ["files", file] if file in self.files:
                return 200, self._file(file)
            case "DELETE", ["files", file] if file in self.files:
                del self.files[file]
                return 200, {"id": file, "deleted": True}
            case "GET", ["fine-tunes"]:
                return 200, {
                    "data": [held_to(Data, self._short(job)) for job in self.jobs.values()]
                }
            case "GET", ["fine-tunes", "models", "limits"]:
                return self._limits(to.path)
            case "POST", ["fine-tunes", "estimate-price"]:
                self.priced.append(json.loads(body))
                price = {"estimated_total_price": self.price, "allowed_to_proceed": self.credit}
                return 200, {"estimation_available": True, **price}
            case "POST", ["fine-tunes"]:
                return self._start(json.loads(body))
            case "GET", ["fine-tunes", job, "events"] if job in self.jobs:
                return 200, {"data": self.events}
            case "GET", ["fine-tunes", job, "metrics"] if job in self.jobs:
                return 200, {"metrics": self.metrics}
            case "POST", ["fine-tunes", job, "cancel"] if job in self.jobs:
                return self._cancel(self.jobs[job])
            case "GET", ["fine-tunes", job] if job in self.jobs:
                return 200, held_to(FinetuneResponse, self.jobs[job])
            case "POST", ["chat", "completions"]:
                asked = json.loads(body)
                return 200, chat(self.reply(asked["model"], asked["messages"][-1]["content"]))
        return 404, self.error(404, f"No such thing: {path}")

    # ---- Files ----

    def _announce(self, given: dict[str, str]) -> Any:
        if set(given) != {"purpose", "file_name", "file_type", "checksum"}:
            return 400, self.error(400, f"Unknown fields: {given}")
        for file, known in self.announced.items():
            if known["checksum"] == given["checksum"] and file in self.files:
                return 409, {"file_id": file, "message": "This file is here already."}
        file = f"file-{len(self.announced) + 1}"
        self.announced[file] = given
        headers = {
            "Location": f"{self.storage or self.url}/storage/{file}",
            "X-Together-File-Id": file,
        }
        return 302, {}, headers

    def _store(self, file: str, content: bytes) -> Any:
        for line in content.splitlines():
            if set(json.loads(line)) not in ROW_FIELDS:
                return 400, self.error(400, "This row has keys that nobody knows.")
        self.files[file] = (self.announced[file]["file_name"], content)
        self.status[file] = "PENDING"
        self.uploads.append(self.announced[file]["file_name"])
        return 200, {}

    def _read(self, file: str) -> str:
        return "INVALID_FORMAT" if file in self.reports else "COMPLETED"

    def _state(self, file: str) -> str:
        is_read = self.status[file] != "PENDING"
        return "RUNNING" if self.reading and is_read else self.status[file]

    def _file(self, file: str) -> dict[str, Any]:
        name, content = self.files[file]
        report = {"valid": False, "error": self.reports[file]} if file in self.reports else None
        answer = {
            "id": file,
            "bytes": len(content),
            "created_at": 1,
            "filename": name,
            "FileType": "jsonl",
            "object": "file",
            "purpose": "fine-tune",
            "processing_status": self._state(file),
            "validation_report": report,
        }
        return held_to(FileResponse, answer)

    # ---- Trainings ----

    def _limits(self, path: str) -> Any:
        if f"model_name={MODEL.replace('/', '%2F')}" not in path:
            return 404, self.error(404, "The model gpt-9 does not exist")
        return 200, LIMITS

    def _start(self, body: dict[str, Any]) -> Any:
        self.posted.append(body)
        if unknown := set(body) - set(FinetuneRequest.model_fields):
            return 400, self.error(400, f"Unknown fields: {unknown}")
        missing = {body["training_file"], body.get("validation_file")} - {None, *self.files}
        if missing or len(body["suffix"]) > 40:
            return 400, self.error(400, f"No such file: {missing}, or a long suffix")
        if body.get("validation_file") and not body["n_evals"]:
            return 400, self.error(400, "A validation file without evaluations")
        job_id = f"ft-{len(self.jobs) + 1}"
        times = {"created_at": now(), "updated_at": now()}
        copied = ("model", "suffix", "training_file", "n_epochs", "training_method", "random_seed")
        self.jobs[job_id] = {
            "id": job_id,
            "status": "pending",
            "user_id": "user-1",
            **times,
            **{name: body[name] for name in copied},
        }
        return 200, held_to(Data, self._short(self.jobs[job_id]))

    def _short(self, job: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in job.items() if name in Data.model_fields} | (
            {"model_output_name": job["model_output_name"]} if "model_output_name" in job else {}
        )

    def _cancel(self, job: dict[str, Any]) -> Any:
        if job["status"] in ("completed", "error", "cancelled"):
            return 400, self.error(400, "The job is over.")
        job["status"] = "cancelled"
        return 200, held_to(Data, self._short(job))


def held_to(model: Any, answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, which has to be one of the client's types, unless its state is made up."""
    known = {**answer, "status": "running"} if "status" in answer else answer
    model.model_validate(known, strict=False)
    return answer

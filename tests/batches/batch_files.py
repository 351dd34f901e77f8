"""Input files of batches, an engine that answers them, and a worker that runs their job."""

import asyncio
import json
import threading
from collections.abc import Callable

from finetune_app.batches.models import Batch
from finetune_app.core.engine_client import EngineUnavailable
from finetune_app.jobs import lease, process_ids
from finetune_app.jobs.models import Job, State
from worker import warm_child
from worker.supervise import Supervision

MODEL = "sort-shop-emails"
CHAT = "/v1/chat/completions"
MAX_SLICES = 1000  # a busy machine gets little into one


def line(number: int, *, url: str = CHAT, model: str = MODEL, **fields) -> dict:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": f"question {number}"}],
        "max_tokens": 4,
    }
    return {"custom_id": f"row-{number}", "method": "POST", "url": url, "body": body} | fields


def with_body(number: int, **more) -> dict:
    found = line(number)
    found["body"] |= more
    return found


def content(rows: list) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def send(client, rows, *, endpoint: str = CHAT, purpose: str = "batch", **more):
    """Uploads the rows, or bytes, and makes a batch of them."""
    sent = rows if isinstance(rows, bytes) else content(rows)
    file = client.files.create(file=("rows.jsonl", sent), purpose=purpose)
    given = {"input_file_id": file.id, "endpoint": endpoint, "completion_window": "24h"}
    return client.batches.create(**given | more)


def batch_of(sent) -> Batch:
    return Batch.objects.select_related("job").get(public_id=sent.id.removeprefix("batch_"))


def run_slice(sent) -> Job:
    """What a worker does when the job is due, which it is made now."""
    job_id = batch_of(sent).job_id
    Job.objects.filter(pk=job_id).update(not_before=None)
    taken = lease.take(job_id, worker=process_ids.process_id())
    assert taken is not None, "the job does not wait"
    Supervision(taken, warm_child.new_light_child, threading.Event()).run()
    return Job.objects.get(pk=job_id)


def run_to_end(client, sent):
    """The batch, after as many slices as it takes."""
    for _slice in range(MAX_SLICES):
        if run_slice(sent).state != State.QUEUED:
            return client.batches.retrieve(sent.id)
    raise AssertionError("the batch does not end")


def read(client, file_id: str | None) -> dict[str, dict]:
    """The lines of an output file by their custom_id; {} for no file."""
    if not file_id:
        return {}
    rows = [json.loads(row) for row in client.files.content(file_id).content.splitlines()]
    found = {row["custom_id"]: row for row in rows}
    assert len(found) == len(rows), "an id is there twice"
    return found


class FakeEngine:
    """Answers each question with its own text. `asked` has the questions in order; `before` is
    called with each question first, and may raise."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.running = self.most_at_once = 0
        self.background: set[bool] = set()
        self.pause_seconds = 0.0
        self.before: Callable[[str], None] = lambda question: None

    async def stream_chat(self, base_model, requests, **_settings):
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            for request in requests:
                question = request["messages"][-1]["content"]
                self.asked.append(question)
                self.background.add(bool(request.get("background")))
                self.before(question)
                await asyncio.sleep(self.pause_seconds)
                yield {"candidate": request["candidate"], "text": f"answer to {question}"}
                yield {
                    "candidate": request["candidate"],
                    "done": True,
                    "finish_reason": "stop",
                    "tokens": 3,
                    "prompt_tokens": 5,
                }
        finally:
            self.running -= 1

    def fail(self, question: str, *, times: int = 10**6, retry_after: int | None = None) -> None:
        """The engine cannot answer this question, so many times."""
        left = [times]

        def before(asked: str) -> None:
            if asked == question and left[0] > 0:
                left[0] -= 1
                raise EngineUnavailable("away", retry_after=retry_after)

        self.before = before

"""One slice of a batch: asks the requests that have no answer yet, a few at once.

A slice is short, so that other jobs get their turn, and ends early where the model is away. Each
answer is written when it comes: killed at any point, the next slice asks again only what was being
answered.
"""

import asyncio
import json
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F

from finetune_app.api_keys.models import ApiKey
from finetune_app.batches.endpoints import ENDPOINTS
from finetune_app.batches.input_file import InvalidLine, request_body
from finetune_app.batches.models import Batch, BatchRequest
from finetune_app.gateway.access import invalid_key, require_action, require_budget
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject
from finetune_app.jobs import lease
from finetune_app.jobs.models import Job

log = logging.getLogger(__name__)

SLICE_SECONDS = 30.0  # in which it begins with requests
AT_ONCE = 8
CHECK_SECONDS = 1.0  # between looks whether the batch is cancelled
READ_AHEAD = 100  # requests that are read from the database at a time
BUSY_PAUSE_SECONDS = 0.5
MAX_SETBACKS = 12  # in a row, before what the engine fails at is given up
GONE_FILE = ApiError(400, "The input file was deleted before this was asked.", code="file_deleted")


class LeaseLost(Exception):
    """Another worker has the job, or its row is gone."""


@dataclass(frozen=True)
class Reply:
    """The answer to a request, or its error: an HTTP status and the body."""

    status: int
    body: JsonObject


@dataclass
class Slice:
    """Asks until the time is up, everything is answered, or the model is away.

    `problem`: why it ended early. `answered`: requests that it has finished.
    """

    job: Job
    batch: Batch
    path: Path  # of the input file, local
    at_once: int = AT_ONCE
    problem: ApiError | None = None
    answered: int = 0
    stopped: bool = False  # the batch is being cancelled
    _again: "deque[BatchRequest]" = field(default_factory=deque)
    _ahead: "deque[BatchRequest]" = field(default_factory=deque)
    _last_line: int = 0
    _checked_at: float = 0.0

    async def run(self) -> None:
        """Raises LeaseLost."""
        ends_at = time.monotonic() + SLICE_SECONDS
        running: dict[asyncio.Task[Reply], BatchRequest] = {}
        try:
            while True:
                await self._look_for_stop()
                if self.stopped:
                    return
                while len(running) < self.at_once and not self.problem:
                    # At least one request a slice, however slow the machine is.
                    if self._last_line and time.monotonic() >= ends_at:
                        break
                    request = await self._next()
                    if request is None:
                        break
                    running[asyncio.create_task(self._ask(request))] = request
                if not running:
                    return
                done, _rest = await asyncio.wait(
                    running, timeout=CHECK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    await self._take(task, running.pop(task), alone=not running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _next(self) -> BatchRequest | None:
        if self._again:
            await asyncio.sleep(BUSY_PAUSE_SECONDS)
            return self._again.popleft()
        if not self._ahead:
            self._ahead.extend(await sync_to_async(self._unanswered)())
        if not self._ahead:
            return None
        request = self._ahead.popleft()
        self._last_line = request.line
        return request

    def _unanswered(self) -> list[BatchRequest]:
        left = self.batch.requests.filter(status_code=None, line__gt=self._last_line)
        return list(left[:READ_AHEAD])

    async def _ask(self, request: BatchRequest) -> Reply:
        """Raises ApiError where it is to be asked again later."""
        endpoint = ENDPOINTS[self.batch.endpoint]
        try:
            key = await sync_to_async(self._usable_key)(endpoint.action)
            body = await sync_to_async(self._body)(request)
            return Reply(200, await endpoint.answer(key, body))
        except ApiError as error:
            if is_temporary(error):
                raise
            return Reply(error.status, dict(error.body()))
        except (InterfaceError, OperationalError):
            raise  # the database is away: the whole slice is run again
        except Exception:
            log.exception("a request of batch %s failed", self.batch.pk)
            return Reply(500, dict(ApiError(500, "Something went wrong here. Try again.").body()))

    def _usable_key(self, action: str) -> ApiKey:
        """The key as it is now: it may have been revoked meanwhile. Raises ApiError."""
        keys = ApiKey.objects.active().select_related("team", "deployment", "created_by")
        key = keys.filter(pk=self.batch.key_id or 0).first()
        if key is None or (key.created_by and not key.created_by.is_active):
            raise invalid_key()
        require_action(key, action)
        require_budget(key)
        return key

    def _body(self, request: BatchRequest) -> bytes:
        try:
            return request_body(self.path, request)
        except (FileNotFoundError, InvalidLine) as problem:
            raise GONE_FILE from problem
        except OSError as problem:
            raise ApiError(
                503,
                f"The input file cannot be read: {problem.strerror}",
                code="storage_unavailable",
            ) from problem

    async def _take(self, task: "asyncio.Task[Reply]", request: BatchRequest, alone: bool) -> None:
        """Write the answer, or see what to do about a failure that is over soon."""
        try:
            reply = task.result()
        except ApiError as error:
            if error.status == 429 and not alone:
                # People are answered first: go on with as many as there is room for.
                self.at_once = 1
                self._again.append(request)
            elif self._is_given_up(error, alone):
                await sync_to_async(self._write)(request, Reply(error.status, dict(error.body())))
            else:
                self.problem = error
        else:
            await sync_to_async(self._write)(request, reply)

    def _is_given_up(self, error: ApiError, alone: bool) -> bool:
        """A request that the engine fails at again and again, asked alone, must not hold up the
        others. A model that is paused or busy is waited for."""
        counts = error.code in ("engine_unavailable", "model_failed", "model_not_ready")
        return counts and alone and self.at_once == 1 and self.batch.setbacks >= MAX_SETBACKS

    def _write(self, request: BatchRequest, reply: Reply) -> None:
        """Under the lease. Raises LeaseLost."""
        with transaction.atomic():
            mine = self.batch.requests.filter(pk=request.pk, status_code=None)
            if not mine.update(status_code=reply.status, body=json.dumps(reply.body)):
                return
            Batch.objects.filter(pk=self.batch.pk).update(setbacks=0, **_counted(reply))
            self.answered += 1
            if not lease.write(self.job, done=F("done") + 1):
                raise LeaseLost

    async def _look_for_stop(self) -> None:
        if time.monotonic() - self._checked_at < CHECK_SECONDS:
            return
        self._checked_at = time.monotonic()
        held = await sync_to_async(self._stop_asked)()
        if held is None:
            raise LeaseLost
        self.stopped = held

    def _stop_asked(self) -> bool | None:
        held = Job.objects.held_by(self.job).values_list("stop_asked", flat=True)
        return held.first()


def is_temporary(error: ApiError) -> bool:
    """Whether the same request may get an answer later."""
    return error.status in (429, 503) and error.should_retry


def _counted(reply: Reply) -> dict[str, Any]:
    """What the answer adds to the figures of its batch."""
    if reply.status != 200:
        return {"failed": F("failed") + 1}
    usage: Any = reply.body.get("usage") or {}
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    read = usage.get("prompt_tokens", usage.get("input_tokens", 0))
    written = usage.get("completion_tokens", usage.get("output_tokens", 0))
    return {
        "completed": F("completed") + 1,
        "input_tokens": F("input_tokens") + read,
        "output_tokens": F("output_tokens") + written,
        "reasoning_tokens": F("reasoning_tokens") + details.get("reasoning_tokens", 0),
    }

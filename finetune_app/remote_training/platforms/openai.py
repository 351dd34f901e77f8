"""OpenAI's fine-tuning API: OpenAI itself, another Finetune, and whoever else offers it.

Written for the official client, `openai` 3.57; tested against Finetune's own API and a stub that is
held to OpenAI's description, never against OpenAI itself.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent

from finetune_app.providers import guard
from finetune_app.providers.guarded_client import guarded_client
from finetune_app.remote_training.platforms.contract import (
    Order,
    PlatformError,
    RemoteEvent,
    RemoteJob,
    UnknownJob,
)

MARK = "finetune_order"  # key of the metadata
MAX_LOOKED_THROUGH = 200  # newest jobs and files
MAX_PAGES = 20  # in which they come
MAX_EVENTS = 1000  # newest
MAX_MESSAGE = 300
MAX_NAME = 200  # of a model, a file or a job there
MAX_METRICS = 20  # of an event
MAX_NUMBER = 10**15
RETRY_SECONDS = 30.0
SUFFIX_LENGTH = 40


class OpenAIPlatform:
    def __init__(self, url: str, key: str, *, private: bool) -> None:
        self._key, self._host = key, httpx.URL(url).host
        # Never tried again by itself: what may have been posted is looked for first.
        self._client = openai.OpenAI(
            api_key=key, base_url=url, max_retries=0, http_client=guarded_client(private=private)
        )
        # It takes these from the environment of whoever runs Finetune, for any team's platform.
        self._client.organization = self._client.project = None
        self._client._custom_headers = {}

    def check(self) -> None:
        with self._errors():
            _items(self._client.fine_tuning.jobs.list(limit=1))

    def find_file(self, name: str) -> str | None:
        with self._errors():
            files = self._client.files.list(purpose="fine-tune", order="desc", limit=100)
            for file in islice(_every(files), MAX_LOOKED_THROUGH):
                if file.filename == name:
                    return _name(file.id)
        return None

    def upload(self, path: Path, name: str) -> str:
        with self._errors(), path.open("rb") as file:
            return _name(self._client.files.create(file=(name, file), purpose="fine-tune").id)

    def find(self, mark: str, training_file: str) -> RemoteJob | None:
        with self._errors():
            jobs = self._client.fine_tuning.jobs.list(limit=100)
            for job in islice(_every(jobs), MAX_LOOKED_THROUGH):
                is_marked = (job.metadata or {}).get(MARK) == mark
                if is_marked or (training_file and job.training_file == training_file):
                    return self._remote_job(job)
        return None

    def start(self, order: Order, files: Sequence[str]) -> RemoteJob:
        with self._errors():
            job = self._client.fine_tuning.jobs.create(
                model=order.model,
                training_file=files[0],
                validation_file=files[1] if len(files) > 1 else openai.omit,
                suffix=order.suffix[:SUFFIX_LENGTH] or openai.omit,
                seed=order.seed,
                metadata={MARK: order.mark},
                method=_method(order),
            )
            return self._remote_job(job)

    def poll(self, job_id: str) -> RemoteJob:
        with self._errors():
            return self._remote_job(self._client.fine_tuning.jobs.retrieve(job_id))

    def events(self, job_id: str, after: str) -> list[RemoteEvent]:
        found: list[RemoteEvent] = []
        with self._errors():
            page = self._client.fine_tuning.jobs.list_events(job_id, limit=100)
            for event in islice(_every(page), MAX_EVENTS):
                found.append(self._remote_event(event))
                if found[-1].event_id == after:
                    break
        found.reverse()  # so that those of one second are in order, too
        return sorted(found, key=lambda event: event.at)

    def cancel(self, job_id: str) -> None:
        with self._errors():
            self._client.fine_tuning.jobs.cancel(job_id)

    def delete_file(self, file_id: str) -> None:
        with self._errors():
            try:
                self._client.files.delete(file_id)
            except openai.NotFoundError:
                return

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Errors of the client in plain words."""
        try:
            yield
        except guard.NotAllowed as problem:
            raise PlatformError(str(problem)) from None
        except openai.APIStatusError as problem:
            raise self._refusal(problem) from None
        except (openai.APIConnectionError, httpx.HTTPError, httpx2.HTTPError):
            raise PlatformError(
                f"{self._host} cannot be reached just now.", retry_after=RETRY_SECONDS
            ) from None
        except (openai.OpenAIError, ValueError, AttributeError, TypeError, RecursionError):
            # An answer that is not what the client reads: perhaps a proxy's page.
            raise PlatformError(
                f"{self._host} answered with something that is not OpenAI's format.",
                retry_after=RETRY_SECONDS,
            ) from None

    def _refusal(self, problem: openai.APIStatusError) -> PlatformError:
        status, said = problem.status_code, self._said(problem)
        if 300 <= status < 400:
            return PlatformError(
                f"{self._host} redirects to another address, which Finetune does not follow. "
                "Connect an account with the address it redirects to instead."
            )
        if status in (401, 403):
            return PlatformError(
                f"{self._host} does not accept the key, or it may not train: {said} Ask an owner "
                "to enter another."
            )
        if status == 404:
            return UnknownJob(f"{self._host} does not know it: {said}")
        if status == 429 and "quota" in said.lower():
            return PlatformError(f"The account at {self._host} has no credit left: {said}")
        if status in (408, 409, 429) or status >= 500:
            wait = problem.response.headers.get("retry-after", "")
            seconds = float(wait) if wait.isdecimal() else RETRY_SECONDS
            return PlatformError(
                f"{self._host} is busy, or has an error of its own ({status}).",
                retry_after=min(seconds, 3600.0),
            )
        return PlatformError(f"{self._host} refused it: {said}")

    def _said(self, problem: openai.APIStatusError) -> str:
        """The platform's own message."""
        body = problem.body
        said = body.get("message") if isinstance(body, dict) else None
        return self._line(said or problem.message)

    def _line(self, text: object) -> str:
        """A text of the platform: one line, shortened, without the key."""
        said = str(text or "")[: 4 * MAX_MESSAGE].replace(self._key, "…")
        line = " ".join("".join(c if c.isprintable() else " " for c in said).split())
        return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"

    def _remote_job(self, job: FineTuningJob) -> RemoteJob:
        """Fields that a platform leaves out are None in what the client makes of them.

        Raises ValueError unless it has an id and a state: it would be taken for another.
        """
        return RemoteJob(
            job_id=_name(job.id),
            state=_name(job.status),
            model=_name(job.fine_tuned_model) if job.fine_tuned_model else "",
            trained_tokens=_count(job.trained_tokens),
            error=self._line(job.error.message) if job.error else "",
            finishes_at=_count(job.estimated_finish),
        )

    def _remote_event(self, event: FineTuningJobEvent) -> RemoteEvent:
        at, message = _count(event.created_at) or 0, self._line(event.message)
        return RemoteEvent(
            event_id=self._line(event.id or f"{at} {message}"),
            at=at,
            message=message,
            level=self._line(event.level or "info"),
            metrics=_numbers(event.data),
        )


def _method(order: Order) -> Any:
    return {
        "type": order.method,
        order.method: {"hyperparameters": dict(order.hyperparameters)},
    }


def _items(page: Any) -> list[Any]:
    """Raises ValueError unless the answer has a list: without one it does not say that something
    is not there, and what is not there is sent again."""
    items = getattr(page, "data", None)
    if not isinstance(items, list):
        raise ValueError("not a list")
    return items


def _every(page: Any) -> Iterator[Any]:
    """The items of this page and of those after it."""
    for _n in range(MAX_PAGES):
        yield from _items(page)
        if not page.has_next_page():
            return
        page = page.get_next_page()


def _name(value: object) -> str:
    """Raises ValueError unless it can be the name of a thing there, or of a state."""
    if not (isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()):
        raise ValueError("not a name")
    return value


def _count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_NUMBER:
        return value
    return None


def _numbers(data: object) -> dict[str, float]:
    """Those that can be stored and drawn: neither infinite nor "not a number"."""
    if not isinstance(data, dict):
        return {}
    found = {
        str(name)[:40]: value
        for name, value in islice(data.items(), MAX_METRICS)
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {
        name: value
        for name, value in found.items()
        if name.isprintable() and abs(value) < MAX_NUMBER
    }

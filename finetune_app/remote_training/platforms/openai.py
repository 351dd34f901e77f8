"""OpenAI's fine-tuning API: OpenAI itself, another Finetune, and whoever else offers it.

Written for the official client, `openai` 3.57; tested against Finetune's own API and a stub that is
held to OpenAI's description, never against OpenAI itself.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
from openai.types.fine_tuning import FineTuningJob

from finetune_app.providers import guard
from finetune_app.remote_training.platforms.contract import (
    Order,
    PlatformError,
    RejectedKey,
    RemoteEvent,
    RemoteJob,
    UnknownJob,
)
from finetune_app.remote_training.platforms.guarded_client import guarded_client

MARK = "finetune_order"  # key of the metadata
MAX_LOOKED_THROUGH = 200  # newest jobs and files
MAX_EVENTS = 100
MAX_MESSAGE = 300
RETRY_SECONDS = 30.0
SUFFIX_LENGTH = 40


class OpenAIPlatform:
    def __init__(self, url: str, key: str, *, private: bool) -> None:
        self._key, self._host = key, httpx.URL(url).host
        # Never tried again by itself: what may have been posted is looked for first.
        self._client = openai.OpenAI(
            api_key=key, base_url=url, max_retries=0, http_client=guarded_client(private=private)
        )

    def check(self) -> None:
        with self._errors():
            self._client.fine_tuning.jobs.list(limit=1)

    def find_file(self, name: str) -> str | None:
        with self._errors():
            files = self._client.files.list(purpose="fine-tune", order="desc", limit=100)
            for _n, file in zip(range(MAX_LOOKED_THROUGH), files, strict=False):
                if file.filename == name:
                    return file.id
        return None

    def upload(self, path: Path, name: str) -> str:
        with self._errors(), path.open("rb") as file:
            return self._client.files.create(file=(name, file), purpose="fine-tune").id

    def find(self, mark: str) -> RemoteJob | None:
        with self._errors():
            jobs = self._client.fine_tuning.jobs.list(limit=100)
            for _n, job in zip(range(MAX_LOOKED_THROUGH), jobs, strict=False):
                if (job.metadata or {}).get(MARK) == mark:
                    return _remote_job(job)
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
            return _remote_job(job)

    def poll(self, job_id: str) -> RemoteJob:
        with self._errors():
            return _remote_job(self._client.fine_tuning.jobs.retrieve(job_id))

    def events(self, job_id: str) -> list[RemoteEvent]:
        with self._errors():
            page = self._client.fine_tuning.jobs.list_events(job_id, limit=MAX_EVENTS)
            found = [
                RemoteEvent(
                    event_id=event.id,
                    at=event.created_at,
                    message=event.message,
                    level=event.level,
                    metrics=_numbers(event.data),
                )
                for event in page.data
            ]
        return sorted(found, key=lambda event: event.at)

    def cancel(self, job_id: str) -> RemoteJob:
        with self._errors():
            return _remote_job(self._client.fine_tuning.jobs.cancel(job_id))

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
        except (openai.OpenAIError, ValueError, AttributeError, TypeError):
            # An answer that is not what the client reads: perhaps a proxy's page.
            raise PlatformError(
                f"{self._host} answered with something that is not OpenAI's format.",
                retry_after=RETRY_SECONDS,
            ) from None

    def _refusal(self, problem: openai.APIStatusError) -> PlatformError:
        status, said = problem.status_code, self._said(problem)
        if status in (401, 403):
            return RejectedKey(
                f"{self._host} does not accept the key, or it may not train: {said} Ask an owner "
                "to enter another."
            )
        if status == 404:
            return UnknownJob(f"{self._host} does not know it: {said}")
        if status == 429 and "quota" in said.lower():
            return PlatformError(f"The account at {self._host} has no credit left: {said}")
        if status in (408, 409, 429) or status >= 500:
            wait = problem.response.headers.get("retry-after", "")
            seconds = float(wait) if wait.isdigit() else RETRY_SECONDS
            return PlatformError(
                f"{self._host} is busy, or has an error of its own ({status}).",
                retry_after=min(seconds, 3600.0),
            )
        return PlatformError(f"{self._host} refused it: {said}")

    def _said(self, problem: openai.APIStatusError) -> str:
        """The platform's own message: one line, shortened, without the key."""
        body = problem.body
        said = body.get("message") if isinstance(body, dict) else None
        text = " ".join(str(said or problem.message).replace(self._key, "…").split())
        return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def _method(order: Order) -> Any:
    return {
        "type": order.method,
        order.method: {"hyperparameters": dict(order.hyperparameters)},
    }


def _remote_job(job: FineTuningJob) -> RemoteJob:
    """Fields that a platform leaves out are None in what the client makes of them."""
    return RemoteJob(
        job_id=job.id,
        state=str(job.status),
        model=job.fine_tuned_model or "",
        trained_tokens=job.trained_tokens,
        error=(job.error.message or "") if job.error else "",
        finishes_at=job.estimated_finish,
    )


def _numbers(data: object) -> dict[str, float]:
    if not isinstance(data, dict):
        return {}
    return {
        str(name): value
        for name, value in data.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }

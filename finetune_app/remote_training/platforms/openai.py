"""OpenAI's fine-tuning API: OpenAI itself, another Finetune, and whoever else offers it.

Written for the official client, `openai` 3.57; tested against Finetune's own API and a stub that is
held to OpenAI's description, never against OpenAI itself.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent

from finetune_app.providers.guarded_httpx2 import guarded_client
from finetune_app.remote_training.platforms.answers import count, items, name, numbers, one_line
from finetune_app.remote_training.platforms.contract import (
    Order,
    PlatformError,
    RemoteEvent,
    RemoteJob,
)
from finetune_app.remote_training.platforms.plain_errors import PlainErrors

MARK = "finetune_order"  # key of the metadata
MAX_LOOKED_THROUGH = 200  # newest files
MAX_LISTED = 200  # jobs, for somebody to choose from
MAX_PAGES = 20  # of a list
MAX_EVENTS = 1000  # newest
SUFFIX_LENGTH = 40


class OpenAIPlatform:
    def __init__(self, url: str, key: str, *, allowed: Collection[str]) -> None:
        self._key = key
        self._errors = PlainErrors(
            openai,
            openai.OpenAIError,
            httpx2.HTTPError,
            host=httpx.URL(url).host,
            key=key,
            whose="OpenAI's",
        )
        # Never tried again by itself: what may have been posted is looked for first.
        self._client = openai.OpenAI(
            api_key=key, base_url=url, max_retries=0, http_client=guarded_client(allowed)
        )
        # It takes these from the environment of whoever runs Finetune, for any team's platform.
        self._client.organization = self._client.project = None
        self._client._custom_headers = {}

    def check(self) -> None:
        with self._errors():
            items(self._client.fine_tuning.jobs.list(limit=1))

    def find_file(self, file_name: str, *, begun: bool = False) -> str | None:
        with self._errors():
            files = self._client.files.list(purpose="fine-tune", order="desc", limit=100)
            for file in islice(_every(files), MAX_LOOKED_THROUGH):
                if file.filename == file_name:
                    return name(file.id)
        return None

    def upload(self, path: Path, file_name: str) -> str:
        with self._errors(), path.open("rb") as file:
            return name(self._client.files.create(file=(file_name, file), purpose="fine-tune").id)

    def check_order(self, order: Order, files: Sequence[str]) -> None:
        """A job there waits for its files by itself."""

    def find(self, mark: str, training_file: str) -> RemoteJob | None:
        with self._errors():
            jobs = self._client.fine_tuning.jobs.list(limit=100)
            for job in _every(jobs, whole=True):
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

    def jobs(self) -> list[dict[str, Any]]:
        """The newest jobs of the account, whoever started them, as the platform describes them."""
        with self._errors():
            found = islice(_every(self._client.fine_tuning.jobs.list(limit=100)), MAX_LISTED)
            return [job.to_dict() for job in found]

    def job(self, job_id: str) -> dict[str, Any]:
        with self._errors():
            return self._client.fine_tuning.jobs.retrieve(job_id).to_dict()

    def file_content(self, file_id: str) -> bytes:
        with self._errors():
            return self._client.files.content(file_id).read()

    def delete_file(self, file_id: str) -> None:
        with self._errors():
            try:
                self._client.files.delete(file_id)
            except openai.NotFoundError:
                return

    def _remote_job(self, job: FineTuningJob) -> RemoteJob:
        """Fields that a platform leaves out are None in what the client makes of them.

        Raises ValueError unless it has an id and a state: it would be taken for another.
        """
        return RemoteJob(
            job_id=name(job.id),
            state=name(job.status),
            model=name(job.fine_tuned_model) if job.fine_tuned_model else "",
            trained_tokens=count(job.trained_tokens),
            error=one_line(job.error.message, self._key) if job.error else "",
            finishes_at=count(job.estimated_finish),
        )

    def _remote_event(self, event: FineTuningJobEvent) -> RemoteEvent:
        at, message = count(event.created_at) or 0, one_line(event.message, self._key)
        return RemoteEvent(
            event_id=one_line(event.id or f"{at} {message}", self._key),
            at=at,
            message=message,
            level=one_line(event.level or "info", self._key),
            metrics=numbers(event.data),
        )


def _method(order: Order) -> Any:
    return {
        "type": order.method,
        order.method: {"hyperparameters": dict(order.hyperparameters)},
    }


def _every(page: Any, *, whole: bool = False) -> Iterator[Any]:
    """The items of this page and of those after it. whole: raises PlatformError where there are
    more pages than are read."""
    for _n in range(MAX_PAGES):
        yield from items(page)
        if not page.has_next_page():
            return
        page = page.get_next_page()
    if whole:
        raise PlatformError(
            f"There are more trainings than the {MAX_PAGES} pages that can be looked through, so "
            "it is not known whether it was started. Look there yourself."
        )

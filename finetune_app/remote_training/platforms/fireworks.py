"""Fireworks' managed fine-tuning.

Written for the official client, `fireworks-ai` 1.2; tested against a stub that is made from its
types, never against Fireworks itself.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import fireworks
import httpx

from finetune_app.basemodels.automatic_settings import DPO
from finetune_app.providers.guarded_httpx import guarded_client
from finetune_app.remote_training.platforms.answers import count, name, one_line
from finetune_app.remote_training.platforms.contract import (
    Order,
    PlatformError,
    RemoteEvent,
    RemoteJob,
)
from finetune_app.remote_training.platforms.plain_errors import PlainErrors

STATES = {
    "JOB_STATE_COMPLETED": "succeeded",
    "JOB_STATE_EARLY_STOPPED": "succeeded",
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_EXPIRED": "failed",
    "JOB_STATE_CANCELLED": "cancelled",
}
SUPERVISED_JOBS, DPO_JOBS = "supervisedFineTuningJobs", "dpoJobs"
MAX_FILE_BYTES = 150_000_000  # of one request
READING_SECONDS = 10.0


class FireworksPlatform:
    """The mark of an order is the id of the job, and begins those of its datasets: what is sent
    twice is refused there."""

    def __init__(self, url: str, key: str, *, allowed: Collection[str], account: str) -> None:
        self._key, self._account = key, account
        self._errors = PlainErrors(
            fireworks,
            fireworks.FireworksError,
            httpx.HTTPError,
            host=httpx.URL(url).host,
            key=key,
            whose="Fireworks'",
        )
        # Never tried again by itself: what may have been posted is looked for first.
        self._client = fireworks.Fireworks(
            api_key=key,
            account_id=account,
            base_url=url,
            max_retries=0,
            http_client=guarded_client(allowed),
        )
        # It takes these from the environment of whoever runs Finetune, for any team's platform.
        self._client._custom_headers = {}

    def check(self) -> None:
        with self._errors():
            page = self._client.supervised_fine_tuning_jobs.list(page_size=1)
            if not isinstance(page.supervised_fine_tuning_jobs, list | None):
                raise ValueError("not a list")

    def find_file(self, file_name: str, *, begun: bool = False) -> str | None:
        """A dataset whose file did not arrive is none: it stays UPLOADING."""
        with self._errors():
            try:
                found = self._client.datasets.get(_dataset_id(file_name))
            except fireworks.NotFoundError:
                return None
            return _dataset_id(file_name) if begun or found.state == "READY" else None

    def upload(self, path: Path, file_name: str) -> str:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise PlatformError("Fireworks takes no file of more than 150 MB in one request.")
        dataset = _dataset_id(file_name)
        with path.open("rb") as file:
            rows = sum(1 for _line in file)
            file.seek(0)
            with self._errors():
                with suppress(fireworks.ConflictError):  # begun before, and not done
                    self._client.datasets.create(
                        dataset_id=dataset,
                        dataset={"user_uploaded": {}, "format": "CHAT", "example_count": str(rows)},
                    )
                self._client.datasets.upload(dataset, file=(file_name, file))
        return dataset

    def check_order(self, order: Order, files: Sequence[str]) -> None:
        with self._errors():
            for dataset in files:
                found = self._client.datasets.get(dataset)
                if why := _problem(found.status):
                    said = one_line(why, self._key)
                    raise PlatformError(f"Fireworks cannot use the examples: {said}")
                if found.state != "READY":
                    raise PlatformError(
                        "Fireworks reads the examples.", retry_after=READING_SECONDS
                    )

    def find(self, mark: str, training_file: str) -> RemoteJob | None:
        with self._errors():
            for kind in (SUPERVISED_JOBS, DPO_JOBS):
                try:
                    return self._remote_job(self._jobs(kind).get(mark))
                except fireworks.NotFoundError:
                    continue
        return None

    def start(self, order: Order, files: Sequence[str]) -> RemoteJob:
        epochs, [training, *validation] = int(order.hyperparameters["n_epochs"]), files
        common: dict[str, Any] = {
            "dataset": self._dataset(training),
            "display_name": order.suffix,
        }
        with self._errors():
            if order.method == DPO:
                job: Any = self._client.dpo_jobs.create(
                    dpo_job_id=order.mark,
                    training_config={"base_model": order.model, "epochs": epochs},
                    **common,
                )
            else:
                job = self._client.supervised_fine_tuning_jobs.create(
                    supervised_fine_tuning_job_id=order.mark,
                    base_model=order.model,
                    epochs=epochs,
                    evaluation_dataset=self._dataset(validation[0])
                    if validation
                    else fireworks.omit,
                    **common,
                )
            return self._remote_job(job)

    def poll(self, job_id: str) -> RemoteJob:
        with self._errors():
            return self._remote_job(self._job(job_id))

    def events(self, job_id: str, after: str) -> list[RemoteEvent]:
        """The platform keeps none. What can be told is how far it is."""
        with self._errors():
            job = self._job(job_id)
            at = _seconds(getattr(job, "update_time", None))
            lines = [one_line(said, self._key) for said in _progress(job)]
            return [RemoteEvent(line[:120], at, line) for line in lines if line]

    def cancel(self, job_id: str) -> None:
        kind, job = _parts(job_id)
        with self._errors():
            self._jobs(kind).cancel(job, body={})

    def delete_file(self, file_id: str) -> None:
        with self._errors():
            try:
                self._client.datasets.delete(file_id)
            except fireworks.NotFoundError:
                return

    def _jobs(self, kind: str) -> Any:
        by_pairs = kind == DPO_JOBS
        return self._client.dpo_jobs if by_pairs else self._client.supervised_fine_tuning_jobs

    def _job(self, job_id: str) -> Any:
        kind, job = _parts(job_id)
        return self._jobs(kind).get(job)

    def _dataset(self, dataset: str) -> str:
        return f"accounts/{self._account}/datasets/{dataset}"

    def _remote_job(self, job: Any) -> RemoteJob:
        """Raises ValueError unless it has a name and a state: it would be taken for another."""
        job_id, state = name(job.name), name(job.state)
        _parts(job_id)
        found = STATES.get(state, _words(state))
        config = getattr(job, "training_config", None)
        model = getattr(job, "output_model", None) or getattr(config, "output_model", None)
        progress = getattr(job, "job_progress", None)
        return RemoteJob(
            job_id=job_id,
            state=found,
            model=name(model) if found == "succeeded" and model else "",
            trained_tokens=count(getattr(progress, "input_tokens", None)) or None,
            error=one_line(_problem(job.status), self._key) if found == "failed" else "",
        )


def _dataset_id(file_name: str) -> str:
    return file_name.removesuffix(".jsonl")


def _parts(job_id: str) -> tuple[str, str]:
    """What kind of job it is, and its id, of "accounts/team/dpoJobs/id". Raises ValueError."""
    kind, job = job_id.split("/")[-2:]
    if kind not in (SUPERVISED_JOBS, DPO_JOBS) or not job:
        raise ValueError("not a job")
    return kind, job


def _problem(status: Any) -> str:
    """What a status says is wrong; "" where nothing is."""
    if status is None or status.code in (None, "OK"):
        return ""
    return str(status.message or status.code)


def _words(state: str) -> str:
    """ "JOB_STATE_RE_QUEUEING" as "re queueing"; a word that does not begin so as it is."""
    known = state.startswith("JOB_STATE_")
    return state.removeprefix("JOB_STATE_").replace("_", " ").lower() if known else state


def _progress(job: Any) -> Iterator[str]:
    if told := getattr(job.status, "message", None):
        yield str(told)
    progress = getattr(job, "job_progress", None)
    percent = count(getattr(progress, "percent", None))
    epoch = count(getattr(progress, "epoch", None))
    if percent:
        passes = "" if epoch is None else f", pass {epoch + 1}"
        yield f"{percent} % done{passes}"


def _seconds(moment: object) -> int:
    return int(moment.timestamp()) if isinstance(moment, datetime) else 0

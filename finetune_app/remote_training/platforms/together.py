"""Together's fine-tuning API.

Written for the official client, `together` 3.1; tested against a stub that is made from its types,
never against Together itself.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Any

import httpx
import together
from together.lib import FileTypeError, UploadManager, check_file
from together.lib.resources.files import FileAlreadyExistsError

from finetune_app.basemodels.automatic_settings import DPO
from finetune_app.providers.guarded_httpx import guarded_client
from finetune_app.remote_training.platforms.answers import count, items, name, numbers, one_line
from finetune_app.remote_training.platforms.contract import (
    Order,
    PlatformError,
    RemoteEvent,
    RemoteJob,
)
from finetune_app.remote_training.platforms.plain_errors import PlainErrors

STATES = {"completed": "succeeded", "error": "failed", "user_error": "failed"}
READING = ("QUEUED", "RUNNING")  # states of a file
UNUSABLE = ("FAILED", "INVALID_FORMAT")
READING_SECONDS = 10.0
OURS = re.compile(r"ft[0-9a-f]{32}-[a-z]+\.jsonl")  # names of files that Finetune sends
MAX_EVENTS = 1000
MAX_POINTS = 200  # of the curve, as many as are asked for


class TogetherPlatform:
    """The mark of an order is the suffix of its model, which the platform keeps."""

    def __init__(self, url: str, key: str, *, allowed: Collection[str]) -> None:
        self._key = key
        self._errors = PlainErrors(
            together,
            together.TogetherError,
            httpx.HTTPError,
            host=httpx.URL(url).host,
            key=key,
            whose="Together's",
        )
        # Never tried again by itself: what may have been posted is looked for first.
        self._client = together.Together(
            api_key=key,
            base_url=url.removesuffix("/v1"),
            max_retries=0,
            http_client=guarded_client(allowed),
        )
        # It takes these from the environment of whoever runs Finetune, for any team's platform.
        self._client.project_id = None
        self._client._custom_headers = {}

    def check(self) -> None:
        with self._errors():
            items(self._client.fine_tuning.list())

    def find_file(self, file_name: str, *, begun: bool = False) -> str | None:
        """One that was announced and never arrived is none: it stays PENDING."""
        with self._errors():
            for file in items(self._client.files.list()):
                arrived = file.processing_status != "PENDING"
                if file.filename == file_name and (arrived or begun):
                    return name(file.id)
        return None

    def upload(self, path: Path, file_name: str) -> str:
        """The client takes the name from the path. A file with the same content that is there
        already, under whatever name, is used as it is."""
        if not (report := check_file(path, purpose="fine-tune"))["is_check_passed"]:
            raise PlatformError(
                f"Together would refuse the examples: {one_line(report['message'], self._key)}"
            )
        path = path.rename(path.with_name(file_name))
        with self._errors():
            try:
                sent = UploadManager(self._client).upload("/v1/files", path, "fine-tune")
            except FileAlreadyExistsError as known:
                return name(known.file_id)
            except FileTypeError as problem:
                raise PlatformError(one_line(problem, self._key)) from None
            return name(sent.id)

    def check_order(self, order: Order, files: Sequence[str]) -> None:
        with self._errors():
            for file_id in files:
                self._check_file(file_id)
            most = self._client.fine_tuning.model_limits(model_name=order.model).max_num_epochs
            if _epochs(order) > most:
                raise PlatformError(
                    f"Together reads examples at most {most} times with "
                    f"{one_line(order.model, self._key)}. Start with fewer passes."
                )
            self._check_price(order, files)

    def _check_file(self, file_id: str) -> None:
        file = self._client.files.retrieve(file_id)
        if file.processing_status == "PENDING":  # sent, and not yet asked to be read
            UploadManager(self._client).callback(f"/v1/files/{file_id}/preprocess")
        if file.processing_status in ("PENDING", *READING):
            raise PlatformError("Together reads the examples.", retry_after=READING_SECONDS)
        if file.processing_status in UNUSABLE:
            report = file.validation_report
            why = one_line(report.error if report else "", self._key)
            raise PlatformError(f"Together cannot use the examples: {why or 'no reason'}")

    def _check_price(self, order: Order, files: Sequence[str]) -> None:
        """By its own estimate, which it does not always have."""
        validation = files[1] if len(files) > 1 else None
        told = self._client.fine_tuning.estimate_price(
            model=order.model,
            training_file=files[0],
            n_epochs=_epochs(order),
            training_method={"method": "dpo"}
            if order.method == DPO
            else {"method": "sft", "train_on_inputs": "auto"},
            validation_file=validation or together.omit,
            n_evals=_epochs(order) if validation else together.omit,
        )
        if getattr(told, "allowed_to_proceed", None) is False:
            raise PlatformError("The account at Together has not enough credit for this.")
        price, agreed = getattr(told, "estimated_total_price", None), order.agreed_cost
        if price is not None and agreed is not None and price > agreed:
            raise PlatformError(
                f"Together would ask {price:.2f} $ for this, and at most {agreed:.2f} was agreed "
                "to. Have an owner correct the price of the account, then start again."
            )

    def find(self, mark: str, training_file: str) -> RemoteJob | None:
        with self._errors():
            for job in items(self._client.fine_tuning.list()):
                if job.suffix == mark or mark in (job.x_model_output_name or ""):
                    return self._remote_job(job)
        return None

    def start(self, order: Order, files: Sequence[str]) -> RemoteJob:
        validation, epochs = files[1] if len(files) > 1 else None, _epochs(order)
        with self._errors():
            limits = self._client.fine_tuning.model_limits(model_name=order.model)
            job = self._client.fine_tuning.create(
                model=order.model,
                training_file=files[0],
                validation_file=validation,
                n_epochs=epochs,
                n_evals=min(epochs, limits.max_num_evals) if validation else 0,
                suffix=order.mark,
                random_seed=order.seed,
                training_method="dpo" if order.method == DPO else "sft",
                train_on_inputs=None if order.method == DPO else "auto",
                model_limits=limits,
            )
            return self._remote_job(job)

    def poll(self, job_id: str) -> RemoteJob:
        with self._errors():
            job = self._client.fine_tuning.retrieve(job_id)
            found = self._remote_job(job)
            if found.state != "failed":
                return found
            return RemoteJob(found.job_id, found.state, error=self._reason(job_id))

    def events(self, job_id: str, after: str) -> list[RemoteEvent]:
        """All of them: they have no ids there, so theirs are made from what they say."""
        with self._errors():
            told = items(self._client.fine_tuning.list_events(job_id))[-MAX_EVENTS:]
            found = [self._remote_event(event) for event in told]
        return sorted([*found, *self._curve(job_id)], key=lambda event: event.at)

    def cancel(self, job_id: str) -> None:
        with self._errors():
            self._client.fine_tuning.cancel(job_id)

    def delete_file(self, file_id: str) -> None:
        with self._errors():
            try:
                known_as = self._client.files.retrieve(file_id).filename
                if not OURS.fullmatch(name(known_as)):
                    raise PlatformError(f"It was there before, as {known_as}, and was left there.")
                self._client.files.delete(file_id)
            except together.NotFoundError:
                return

    def _remote_job(self, job: Any) -> RemoteJob:
        """Raises ValueError unless it has an id and a state: it would be taken for another."""
        state = name(getattr(job.status, "value", job.status))
        model = getattr(job, "x_model_output_name", None)
        return RemoteJob(
            job_id=name(job.id),
            state=STATES.get(state, state),
            model=name(model) if state == "completed" and model else "",
            trained_tokens=count(job.token_count) or None,
            finishes_at=_finish(getattr(job, "progress", None)),
        )

    def _reason(self, job_id: str) -> str:
        """Why it failed: the last error among its events."""
        for event in reversed(items(self._client.fine_tuning.list_events(job_id))):
            if str(event.type).lower() in ("job_error", "job_user_error", "billing_limit"):
                return one_line(event.message, self._key)
        return ""

    def _remote_event(self, event: Any) -> RemoteEvent:
        said = f"{event.created_at} {event.type} {event.step} {event.message}"
        return RemoteEvent(
            event_id=sha256(said.encode()).hexdigest()[:32],
            at=_seconds(event.created_at),
            message=one_line(event.message, self._key),
            level=one_line(event.level or "info", self._key),
        )

    def _curve(self, job_id: str) -> Iterator[RemoteEvent]:
        """Its losses by step; none where the platform does not tell them."""
        try:
            with self._errors():
                told = self._client.fine_tuning.list_metrics(job_id, resolution=MAX_POINTS)
                points = [numbers(point) for point in (told.metrics or [])[:MAX_EVENTS]]
        except PlatformError as problem:
            if problem.retry_after is not None:
                raise
            return
        for point in points:
            if losses := _losses(point):
                step = int(losses["step"])
                at = int(point.get("logged_at", point.get("timestamp", 0)))
                event_id = " ".join(("step", str(step), *sorted(losses)))
                yield RemoteEvent(event_id, at, f"Step {step}", metrics=losses)


def _epochs(order: Order) -> int:
    return int(order.hyperparameters["n_epochs"])


def _losses(point: Mapping[str, float]) -> dict[str, float]:
    """The step and its losses under the names that OpenAI has for them; empty without any. What
    they are called is not in the client, so everything that is called a loss is taken for one."""
    step = point.get("global_step", point.get("step"))
    if step is None:
        return {}
    found: dict[str, float] = {}
    for label, value in point.items():
        if "loss" in label.lower():
            is_validation = any(word in label.lower() for word in ("eval", "val"))
            found.setdefault("valid_loss" if is_validation else "train_loss", value)
    return {"step": step, **found} if found else {}


def _seconds(moment: object) -> int:
    """Seconds since 1970 of an ISO 8601 text; 0 where it is none."""
    try:
        return int(datetime.fromisoformat(str(moment)).timestamp())
    except (ValueError, OverflowError):
        return 0


def _finish(progress: Any) -> int | None:
    """When it expects to be done, in seconds since 1970."""
    if progress is None or not progress.estimate_available:
        return None
    left = count(progress.seconds_remaining)
    return int(time()) + left if left else None

"""The job that answers a batch: it validates the file, asks slice by slice, and writes the files.

Between slices it waits in the queue (`Later`), so that a batch of hours keeps no other job from
its turn, and one batch is answered at a time.
"""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from asgiref.sync import async_to_sync
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.batches.answering import AT_ONCE, LeaseLost, Slice
from finetune_app.batches.endpoints import ENDPOINTS
from finetune_app.batches.input_file import (
    InvalidFile,
    invalid_file,
    invalid_model,
    read_requests,
)
from finetune_app.batches.models import ENDED, Batch, BatchRequest
from finetune_app.batches.output_files import write_output_files
from finetune_app.batches.services import CAN_CANCEL
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.gateway.errors import ApiError
from finetune_app.jobs import lease
from finetune_app.jobs.handlers import JobHandler, Later, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job, State

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 2_000  # written or deleted in one transaction
TURN_SECONDS = 3.0  # after a slice, in which another batch may begin one
BUSY_SECONDS = 2.0
PAUSED_SECONDS = 60.0
MAX_WAIT_SECONDS = 60.0
STORAGE_SECONDS = 60.0
FINISH_AGAIN = timedelta(minutes=10)
UNEXPECTED = (
    "The batch ended unexpectedly. What was answered before is in its output file, what was not in "
    "its error file: make a batch of that."
)
Status = Batch.Status


class BatchHandler(JobHandler):
    kind = JobKind(
        name="batch",
        interrupted=gettext_lazy("Going on with the requests that have no answer yet."),
        stopping=gettext_lazy("Cancelling the batch."),
    )

    def stops_while_waiting(self, job: Job) -> bool:
        """What was answered is written into files first."""
        return False

    def run(self, job: Job) -> Result:
        batch = Batch.objects.select_related("input_file", "key").get(job=job)
        try:
            return BatchRun(job, batch).step()
        except LeaseLost:
            return {}
        except OSError as problem:  # a full disk, a storage that is away: nothing is given up
            raise Later(STORAGE_SECONDS, str(problem)) from problem

    def fail(self, job: Job) -> None:
        """What is answered already is kept: the files are written after this transaction."""
        batch = Batch.objects.filter(job=job).exclude(status__in=ENDED).first()
        if batch is None:
            return
        # The message for people ends in “press Continue”, which no program can.
        ended_itself = job.error_code not in ("", "bad_data")
        unexpected = UNEXPECTED if batch.total else "The batch ended unexpectedly. Make it again."
        message = unexpected if ended_itself or not job.message else job.message
        Batch.objects.filter(pk=batch.pk).update(
            status=Status.FINALIZING,
            finalizing_at=timezone.now(),
            errors=invalid_file("failed", message).errors,
        )
        transaction.on_commit(lambda: finish_failed(batch.pk), robust=True)


def finish_failed(batch_id: int) -> None:
    """Write the files of a batch whose job has failed for good, and forget its requests.

    Every step may be repeated; finish_all_failed does where one was interrupted.
    """
    batch = Batch.objects.get(pk=batch_id)
    if batch.total and not batch.files_written:
        output, errors = write_output_files(batch)
        with transaction.atomic():
            for file in filter(None, (output, errors)):
                file.save()
            Batch.objects.filter(pk=batch_id).update(
                output_file=output, error_file=errors, files_written=True
            )
    batch.requests.all().delete()
    Batch.objects.filter(pk=batch_id, status=Status.FINALIZING).update(
        status=Status.FAILED, failed_at=timezone.now()
    )


def finish_all_failed() -> None:
    """Those whose worker ended, or whose storage was away, before it was done with that."""
    failed = Batch.objects.filter(
        status=Status.FINALIZING,
        job__state__in=(State.FAILED, State.CANCELLED),
        finalizing_at__lt=timezone.now() - FINISH_AGAIN,
    )
    for batch_id in failed.values_list("pk", flat=True):
        try:
            finish_failed(batch_id)
        except Exception:
            log.exception("the files of batch %s cannot be written", batch_id)


@contextmanager
def under_lease(job: Job) -> Iterator[None]:
    """A transaction of the worker that holds the lease. Raises LeaseLost."""
    with transaction.atomic():
        if not lease.renew(job):
            raise LeaseLost
        yield


class BatchRun:
    """One run of the job, under its lease."""

    def __init__(self, job: Job, batch: Batch) -> None:
        self.job, self.batch = job, batch

    def step(self) -> Result:
        """Raises Later between slices, PlainError for an invalid file, LeaseLost."""
        if self.job.stop_asked:
            self.cancel()
        if self.batch.status == Status.VALIDATING:
            try:
                self.validate()
            except InvalidFile as problem:
                self.move(Status.VALIDATING, Status.FAILED, errors=problem.errors)
                raise PlainError(str(problem)) from problem
        if self.batch.status == Status.IN_PROGRESS:
            if not self.is_expired() and self.has_unanswered():
                self.answer()
            self.move(Status.IN_PROGRESS, Status.FINALIZING)
        if self.batch.status in (Status.FINALIZING, Status.CANCELLING):
            self.finalize()
        return {"cancelled": self.batch.status == Status.CANCELLED}

    def validate(self) -> None:
        """Record the requests of the file. Raises InvalidFile."""
        batch = self.batch
        requests, model = read_requests(self.input_path(), batch.endpoint)
        if batch.key is None:
            raise invalid_file("invalid_api_key", "The key of this batch was deleted.")
        try:
            ENDPOINTS[batch.endpoint].require_model(batch.key, model)
        except ApiError as problem:
            if problem.status < 500:  # a model that is paused may come back
                raise invalid_model(problem) from problem
        with under_lease(self.job):
            batch.requests.all().delete()  # of a run that was interrupted
        for start in range(0, len(requests), ROWS_AT_ONCE):
            some = requests[start : start + ROWS_AT_ONCE]
            for request in some:
                request.batch = batch
            with under_lease(self.job):
                BatchRequest.objects.bulk_create(some)
        with under_lease(self.job):
            lease.write(self.job, done=0, total=len(requests), unit="requests")
            self.save(total=len(requests), model=model[:255])
            self.move(Status.VALIDATING, Status.IN_PROGRESS)

    def input_path(self) -> Path:
        """Raises InvalidFile if the file was deleted."""
        if self.batch.input_file is None:
            raise invalid_file("file_deleted", "The input file was deleted.", "input_file_id")
        return local_path(self.batch.input_file.storage_path)

    def answer(self) -> None:
        """One slice. Raises Later where it is not the last."""
        others = Job.objects.filter(kind=self.job.kind).leased().exclude(pk=self.job.pk)
        if others.exists():
            raise Later(1 + 2 * random.random(), _("Another batch is being answered."))
        file = self.batch.input_file
        one_slice = Slice(
            self.job,
            self.batch,
            local_path(file.storage_path) if file else Path("/nonexistent"),
            at_once=1 if self.batch.setbacks else AT_ONCE,
        )
        async_to_sync(one_slice.run)()
        self.batch.refresh_from_db()
        if one_slice.stopped:
            self.cancel()
            return
        if one_slice.problem:
            raise self.setback(one_slice.problem)
        if self.has_unanswered():
            raise Later(TURN_SECONDS if self.others_wait() else 0.0, _("It is being answered."))

    def setback(self, problem: ApiError) -> Later:
        """When to ask again, after a failure that may be over soon."""
        if problem.status == 429:
            return Later(BUSY_SECONDS, problem.message)
        if problem.code == "model_paused":
            return Later(PAUSED_SECONDS, problem.message)
        setbacks = self.batch.setbacks + 1
        self.save(setbacks=setbacks)
        return Later(min(2.0 ** min(setbacks, 10), MAX_WAIT_SECONDS), problem.message)

    def finalize(self) -> None:
        """Write the files, then forget the requests. Every step may be repeated."""
        batch = self.batch
        if not batch.files_written:
            output, errors = write_output_files(batch)
            with under_lease(self.job):
                for file in filter(None, (output, errors)):
                    file.save()
                self.save(output_file=output, error_file=errors, files_written=True)
        self.forget_requests()
        left = batch.total - batch.completed - batch.failed
        if batch.status == Status.CANCELLING:
            self.move(Status.CANCELLING, Status.CANCELLED)
        else:
            self.move(Status.FINALIZING, Status.EXPIRED if left else Status.COMPLETED)

    def forget_requests(self) -> None:
        rows = BatchRequest.objects.filter(batch=self.batch).order_by("-pk")
        while some := list(rows.values_list("pk", flat=True)[:ROWS_AT_ONCE]):
            with under_lease(self.job):
                BatchRequest.objects.filter(pk__in=some).delete()

    def cancel(self) -> None:
        """An operator of the installation stops the job alone, not the batch."""
        for before in CAN_CANCEL:
            self.move(before, Status.CANCELLING)

    def has_unanswered(self) -> bool:
        return self.batch.requests.filter(status_code=None).exists()

    def is_expired(self) -> bool:
        return self.batch.expires_at <= timezone.now()

    def others_wait(self) -> bool:
        waiting = Job.objects.filter(kind=self.job.kind).active()
        return waiting.exclude(pk=self.job.pk).exists()

    def move(self, before: str, after: str, **fields: Any) -> None:
        """Change the status, unless the batch was cancelled meanwhile."""
        fields |= {"status": after, f"{after}_at": timezone.now()}
        with under_lease(self.job):
            Batch.objects.filter(pk=self.batch.pk, status=before).update(**fields)
        self.batch.refresh_from_db()

    def save(self, **fields: Any) -> None:
        with under_lease(self.job):
            Batch.objects.filter(pk=self.batch.pk).update(**fields)

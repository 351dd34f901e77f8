"""Runs one job: starts its child, renews the lease, stores the child's events.

The supervisor never imports torch. All its writes filter by the lease's token; when a write
matches no row, the lease is lost: the child is killed and nothing more is written.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.core import files
from finetune_app.core.errors import PlainError
from finetune_app.jobs import lease, process_ids, services
from finetune_app.jobs.handlers import ChildSpec, Event, Later, Result, handler_for
from finetune_app.jobs.models import Job, State
from worker import boot_clock
from worker.child_process import END, Child, order_for
from worker.heartbeat import Heartbeat
from worker.progress_copies import ProgressCopies, fetch_progress

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0  # interval for reading stop and cancel, and for writing events
STOP_TIMEOUT_SECONDS = 90.0  # for a stopped child to save its result; then it is terminated
SHUTDOWN_TIMEOUT_SECONDS = 6.0  # the same while this worker shuts down, by default
CANCEL_TIMEOUT_SECONDS = 3.0


class LostLease(Exception):
    """Another worker owns the job now, or its row has been deleted."""


class JobColumns(TypedDict, total=False):
    """Columns of a job that its events change."""

    phase: str
    message: str
    done: float
    total: float
    unit: str
    running_at: datetime
    result: dict[str, float]


def run_taken(
    job: Job,
    make_child: Callable[[], Child],
    shutting_down: threading.Event,
    shutdown_seconds: float = SHUTDOWN_TIMEOUT_SECONDS,
) -> bool:
    """Run a job whose lease this worker holds; False if its last child is in the way."""
    log.info("job %s: taken (%s, attempt %s)", job.pk, job.kind, job.attempts)
    if not process_ids.kill(job.child):
        log.error("job %s: its last child cannot be killed", job.pk)
        lease.release(job)
        return False
    lease.end_child_runs(job, "found gone by the next worker")
    Supervision(job, make_child, shutting_down, shutdown_seconds).run()
    return True


class Supervision:
    """Runs a job whose lease this worker holds, from its spec to its end."""

    def __init__(
        self,
        job: Job,
        make_child: Callable[[], Child],
        shutting_down: threading.Event,
        shutdown_seconds: float = SHUTDOWN_TIMEOUT_SECONDS,
    ) -> None:
        self.job = job
        self.handler = handler_for(job)
        self._make_child = make_child
        self._shutting_down = shutting_down  # set when this worker shuts down
        self._shutdown_seconds = shutdown_seconds
        self._buffer: list[Event] = []  # events not yet written
        self._columns: JobColumns = {}  # not yet written
        self._final_event: Event | None = None  # the result or error event
        self._next_poll = 0.0
        self._stop_sent = False
        self._end_by: dict[str, float] = {}  # of a stop and of a shutdown; making room has no limit
        self._handing_back = False

    def run(self) -> None:
        """Run the job to its end; returns early when the lease is lost."""
        with Heartbeat(self.job) as heartbeat:
            try:
                runnable, spec = self._child_spec()
                if spec is not None:
                    self._run_child(heartbeat, spec)
                elif runnable:
                    self._run_without_child()
            except LostLease:
                log.warning("job %s: the lease is lost; leaving it", self.job.pk)

    def _child_spec(self) -> tuple[bool, ChildSpec | None]:
        """Whether the job can run, and the spec of its child if it needs one. Fails the job if it
        cannot run."""
        kind = self.handler.kind
        try:
            spec = self.handler.child_spec(self.job) if kind.runner else None
            if spec is not None:
                fetch_progress(spec.folder, kind.progress)
            return True, spec
        except PlainError as error:
            self._fail("bad_data", error.message, "")
        except Exception:
            log.exception("job %s could not be prepared", self.job.pk)
            message = _("This could not be prepared. Try again; the details say what happened.")
            self._fail("crash", message, traceback.format_exc())
        return False, None

    def _run_without_child(self) -> None:
        """Run a job that needs no child."""
        try:
            result = self._retry(lambda: self.handler.run(self.job))
        except Later as later:
            self._put_off(later)
        except PlainError as error:
            self._fail("bad_data", error.message, "")
        except DatabaseError:
            raise
        except Exception:
            log.exception("job %s failed", self.job.pk)
            message = _("Something went wrong inside Finetune. Press Continue to try once more.")
            self._fail("crash", message, traceback.format_exc())
        else:
            self._finish(result)

    def _put_off(self, later: Later) -> None:
        written = self._retry(lambda: lease.put_off(self.job, later.seconds, later.message))
        if not written:
            raise LostLease

    def _run_child(self, heartbeat: Heartbeat, spec: ChildSpec) -> None:
        try:
            with ProgressCopies(self.job, spec.folder, self.handler.kind.progress):
                child, how = self._child_to_its_end(heartbeat, spec)
            self._end_job(child, how)
        except LostLease:
            if not self._retry(Job.objects.filter(pk=self.job.pk).exists):
                # The child may have written after its files were deleted with the row.
                services.delete_files(self.job.pk, folder=files.name_of(spec.folder))
            raise

    def _child_to_its_end(self, heartbeat: Heartbeat, spec: ChildSpec) -> tuple[Child, str]:
        child = self._make_child()
        how = "killed: the lease was lost"
        try:
            if lease.start_child_run(self.job, child.name) is None:
                raise LostLease
            order = order_for(self.job, self.handler.kind, spec, renewed_at=heartbeat.renewed_at)
            child.begin(order, Path(settings.DATA_DIR) / "logs" / f"job-{self.job.pk}.log")
            heartbeat.forward_to(child)
            self._listen(heartbeat, child)
            how = _describe_exit(child.end(timeout_seconds=5.0 if self._final_event else 0.0))
        finally:
            child.end()
            lease.end_child_runs(self.job, how)
        return child, how

    def _listen(self, heartbeat: Heartbeat, child: Child) -> None:
        """Handle events until the child's output closes."""
        while True:
            event = child.next(timeout=0.2)
            if heartbeat.lost:
                raise LostLease
            if event is END:
                return
            if event is not None:
                self._buffer_event(event)
            if boot_clock.seconds() >= self._next_poll:
                self._next_poll = boot_clock.seconds() + POLL_SECONDS
                self._poll(child)

    def _buffer_event(self, event: Event) -> None:
        """Buffer an event for the next write."""
        name = event.get("event")
        if name == "phase":
            self._columns |= {
                "phase": str(event.get("phase", ""))[:40],
                "message": str(event.get("message", "")),
            }
        elif name == "progress":
            self._columns |= {
                "done": event.get("done") or 0,
                "total": event.get("total") or 0,
                "unit": str(event.get("unit", ""))[:16],
            }
        elif name in ("result", "error"):
            self._final_event = event
        elif name == "log":
            log.info("job %s: %s", self.job.pk, event.get("text"))
        else:
            self._buffer.append(event)

    def _poll(self, child: Child) -> None:
        """Once a second: write events, and handle stop, cancel, shutdown and making room."""
        try:
            held = Job.objects.held_by(self.job)
            requested = held.values("stop_asked", "cancel_asked", "yield_asked").first()
            self._write()
        except DatabaseError as error:
            log.warning("job %s: the database does not answer: %s", self.job.pk, error)
            connection.close()
            return  # events stay buffered; the child fences itself if this lasts
        if requested is None:
            raise LostLease
        if requested["cancel_asked"]:
            child.terminate()
            child.end(CANCEL_TIMEOUT_SECONDS)
        elif any(requested.values()) or self._shutting_down.is_set():
            self._stop(child, handing_back=not requested["stop_asked"])

    def _stop(self, child: Child, *, handing_back: bool) -> None:
        if not self._stop_sent:
            self._stop_sent = True
            child.send({"command": "stop"})
        self._handing_back = handing_back
        now = boot_clock.seconds()
        if not handing_back:
            self._end_by.setdefault("stop", now + STOP_TIMEOUT_SECONDS)
        if self._shutting_down.is_set():
            self._end_by.setdefault("shutdown", now + self._shutdown_seconds)
        # Nothing hurries who makes room, and what it would not have saved is lost.
        if now > min(self._end_by.values(), default=now):
            child.end()

    def _write(self) -> None:
        """Write events and progress in one transaction under the lease."""
        if not self._buffer and not self._columns:
            return
        with transaction.atomic():
            self._write_in_transaction()
        self._buffer, self._columns = [], {}

    def _write_in_transaction(self) -> None:
        columns = self._columns.copy()
        if "done" in columns and self.job.running_at is None:
            # Speed is measured from here, so that loading does not count.
            held = Job.objects.held_by(self.job)
            held.filter(state=State.PREPARING).update(state=State.RUNNING)
            columns |= {"running_at": timezone.now(), "result": {"resumed_at": columns["done"]}}
        if not lease.write(self.job, **columns or {"phase": self.job.phase}):
            raise LostLease
        if "running_at" in columns or "phase" in columns:
            self.job.refresh_from_db(fields=["running_at", "phase"])
        for event in self._buffer:
            self.handler.record(self.job, event)

    def _end_job(self, child: Child, how: str) -> None:
        """End the job after its child has ended and the ChildRun is closed."""
        event = self._final_event
        if event is None:
            detail = f"{how}\n{child.tail()}"
            counts = not self._handing_back
            self._write_the_rest()
            state = self._release(detail=detail, counts=counts)
            log.warning(
                "job %s: the child ended without a result (%s): %s", self.job.pk, how, state
            )
        elif event["event"] == "error":
            detail = f"{event.get('detail', '')}\n{child.tail()}".strip()
            self._fail(str(event.get("code", "crash")), str(event.get("message", "")), detail)
        else:
            result = {key: value for key, value in event.items() if key != "event"}
            if result.get("stopped") and self._handing_back:
                self._write_the_rest()
                self._release(counts=False)
            else:
                self._finish(result)

    def _release(self, *, detail: str = "", counts: bool) -> str:
        state = self._retry(lambda: lease.release(self.job, detail=detail, counts=counts))
        if state is None:
            raise LostLease
        return str(state)

    def _write_the_rest(self) -> None:
        """Write the last events of a child that did not finish. One that cannot be stored keeps no
        job from ending."""
        try:
            self._retry(self._write)
        except LostLease:
            raise
        except Exception:
            log.exception("job %s: its last events could not be stored", self.job.pk)

    def _finish(self, result: Result) -> None:
        try:
            self._retry(lambda: self.handler.before_finish(self.job, result))
            self._retry(lambda: self._finish_in_transaction(result))
        except (LostLease, DatabaseError):
            raise
        except Exception:
            log.exception("job %s could not be finished", self.job.pk)
            message = _("The work is done but could not be kept. Press Continue to try once more.")
            self._fail("crash", message, traceback.format_exc())

    def _finish_in_transaction(self, result: Result) -> None:
        state, message = _end_of(result)
        with transaction.atomic():
            if self._buffer or self._columns:
                self._write_in_transaction()
            written = lease.write(
                self.job,
                state=state,
                result=result,
                ended_at=timezone.now(),
                message=message,
            )
            if not written:
                raise LostLease
            self.handler.finish(Job.objects.get(pk=self.job.pk), result)
        log.info("job %s: %s", self.job.pk, state)

    def _fail(self, code: str, message: str, detail: str) -> None:
        log.warning("job %s: failed (%s): %s", self.job.pk, code, message)

        def in_transaction() -> None:
            with transaction.atomic():
                written = lease.write(
                    self.job,
                    state=State.FAILED,
                    error_code=code[:40],
                    message=message,
                    detail=detail[-20_000:],
                    ended_at=timezone.now(),
                )
                if not written:
                    raise LostLease
                self.handler.fail(Job.objects.get(pk=self.job.pk))

        self._write_the_rest()
        self._retry(in_transaction)

    def _retry(self, write: Callable[[], Any]) -> Any:
        """Retry database errors for the duration of a lease."""
        until = boot_clock.seconds() + settings.LEASE_SECONDS
        while True:
            try:
                return write()
            except DatabaseError:
                if boot_clock.seconds() > until:
                    raise
                log.warning("job %s: the database does not answer; trying again", self.job.pk)
                connection.close()
                time.sleep(0.5)


def _end_of(result: Result) -> tuple[State, str]:
    """The last state of a job with this result, and its message for the user."""
    if result.get("cancelled"):
        return State.CANCELLED, _("Cancelled.")
    if result.get("stopped"):
        return State.STOPPED, _("Stopped. You can continue from here.")
    return State.SUCCEEDED, _("Done.")


def _describe_exit(status: int) -> str:
    if status == -14:
        return "ended itself: no heartbeat for most of a lease"
    return f"killed by signal {-status}" if status < 0 else f"exit {status}"

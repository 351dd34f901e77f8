"""The child process: runs one job, then exits.

Arguments: the supervisor's pid; for heavy jobs also `--warm SECONDS MODULE...`, modules to import
after a delay, before an order arrives.

Input, one JSON value a line: the order (channel.Order), then {"command": "beat", "at": clock}
after each renewal of the lease, {"command": "stop"}.
Output: events (docs/decisions/0002). What libraries print goes to stderr.

The child fences itself: each beat resets a SIGALRM (default action: terminate) that fires when 0.8
of a lease has passed since the renewal. This needs no running thread, and after SIGSTOP and SIGCONT
the alarm is delivered before any other instruction runs.
"""

import errno
import fcntl
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from finetune_app.core import environment, logs, parent_death
from finetune_app.core.storable_text import storable
from worker import boot_clock
from worker.channel import Channel, Job, LeaseLost, Order, Run, UserError
from worker.quick_import import UNUSED, quick_import

log = logging.getLogger("worker.child")  # as a program, __name__ is __main__

LEASE_SHARE = 0.8  # exit early, before another worker may take the job
IGNORE_SIGTERM = "FINETUNE_IGNORE_SIGTERM"  # a cluster sends it to each process of a job
LOST, ORPHAN = 75, 76  # exit codes: lease expired; supervisor died


class PipeChannel:
    """A channel over pipes: events out, commands and renewals in."""

    def __init__(self, source: BinaryIO, output: BinaryIO) -> None:
        self._source = source
        self._output = output
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._ordered = threading.Event()
        self._lease = self._deadline = 0.0
        self.order: Order | None = None
        threading.Thread(target=self._listen, daemon=True).start()

    def emit(self, event: str, **fields: Any) -> None:
        line = json.dumps({"event": event, **plain(fields)}, ensure_ascii=False) + "\n"
        try:
            with self._writing:
                self._output.write(line.encode())
                self._output.flush()
        except BrokenPipeError:
            os._exit(ORPHAN)

    def stopping(self) -> bool:
        return self._stop.is_set()

    def check(self) -> None:
        if boot_clock.seconds() > self._deadline:
            raise LeaseLost

    def wait_for_order(self, timeout_seconds: float | None = None) -> None:
        self._ordered.wait(timeout_seconds)

    def _listen(self) -> None:
        """Read commands until the supervisor closes the pipe, then exit."""
        for line in iter(self._source.readline, b""):
            message = json.loads(line)
            if not self._ordered.is_set():
                self.order, self._lease = message, message["lease"]
                self._beat(message["at"])
                self._ordered.set()
            elif message["command"] == "beat":
                self._beat(message["at"])
            elif message["command"] == "stop":
                self._stop.set()
        os._exit(ORPHAN if self._ordered.is_set() else 0)  # 0: an unused warm child

    def _beat(self, renewed_at: float) -> None:
        self._deadline = renewed_at + self._lease * LEASE_SHARE
        left = self._deadline - boot_clock.seconds()
        if left <= 0:
            os._exit(LOST)
        signal.setitimer(signal.ITIMER_REAL, left)


def plain(value: Any) -> Any:
    """`value` in a form for JSON and databases: NaN and infinity become None, numpy scalars
    numbers, and texts storable."""
    if isinstance(value, dict):
        return {storable(str(key)): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, str):
        return storable(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Path):
        return str(value)
    number = float(value)
    return number if abs(number) < float("inf") else None


def main() -> None:
    parent_death.die_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.environ.get(IGNORE_SIGTERM):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel = PipeChannel(sys.stdin.buffer, _take_stdout())
    _be_the_first_to_go()
    if sys.argv[2:3] == ["--warm"]:
        _yield_to_live_answers()
        channel.wait_for_order(timeout_seconds=float(sys.argv[3]))
        quick_import(sys.argv[4:], UNUSED)
    channel.wait_for_order()
    order = channel.order
    assert order is not None
    if waits := sys.modules.get("worker.thread_waits"):  # of a heavy child
        waits.follow_load()
    _lock(order["lock"])
    job = Job(order["kind"], Path(order["folder"]), order["spec"])
    logs.configure()
    with logs.context(request=order["request_id"], job=order["job_id"]):
        code = work(job, order["runner"], channel)
    sys.stderr.flush()
    os._exit(code)  # a thread still reads stdin, and torch's teardown takes seconds


def work(job: Job, runner: str, channel: Channel) -> int:
    """Run the job with the module `runner` and send its last event. Returns the exit code."""
    log.info("%s: started", job.kind)
    try:
        [module] = quick_import([runner], UNUSED)
        run: Run = module.run
        result = run(job, channel)
        channel.check()
        channel.emit("result", **result)
        log.info("%s: ended", job.kind)
        return 0
    except LeaseLost:
        return LOST
    except UserError as error:
        channel.emit("error", code=error.code, message=error.message, detail=traceback.format_exc())
    except BaseException as error:
        code, message = explain(error)
        channel.emit("error", code=code, message=message, detail=traceback.format_exc())
    return 1


def explain(error: BaseException) -> tuple[str, str]:
    """Error code and message for an unexpected exception."""
    text = str(error).lower()
    names = {cls.__name__ for cls in type(error).__mro__}
    if names & {"MemoryError", "OutOfMemoryError"} or "can't allocate memory" in text:
        return "out_of_memory", (
            "There was not enough memory. Close other programs, choose a smaller base model or a "
            "smaller batch, then try again."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "no_disk", "The disk is full. Free some space, then press Continue."
    return "crash", (
        "Something went wrong inside Finetune. Nothing that was saved is lost. Try again; if it "
        "happens again, the details below help whoever looks into it."
    )


def _take_stdout() -> BinaryIO:
    """Reserve stdout for events; print() writes to stderr from now on."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return output


def _be_the_first_to_go() -> None:
    """Make Linux's OOM killer choose this process, not the broker or the web."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("700")


def _yield_to_live_answers() -> None:
    """Lower the priority of heavy jobs, so that live answers come first."""
    wanted = environment.niceness()
    os.nice(wanted)
    with suppress(OSError):  # some systems schedule whole sessions
        Path("/proc/self/autogroup").write_text(str(wanted))


def _lock(path: str) -> None:
    """Lock the job's lock file until exit, which excludes any other child of this job."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    while True:  # ended by the alarm
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.utime(path)  # since when it runs, for core/local_copies.py
            return
        except BlockingIOError:
            time.sleep(0.05)


if __name__ == "__main__":
    main()

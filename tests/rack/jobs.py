"""What happens to jobs, read from the database of the rack."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.rack.hosts import MOST_SECONDS, Host, Rack
from tests.worker.conftest import wait_for

COLUMNS = (
    "id, state, worker, done, total, coalesce((result->>'resumed_at')::float, 0), "
    "coalesce(extract(epoch FROM clock_timestamp() - running_at)::float, 0), attempts"
)
CONTINUED = ("training", "evaluation")  # at another host, where the last one came to
OVERLAPPING = """
    SELECT count(*) FROM jobs_childrun a JOIN jobs_childrun b ON a.job_id = b.job_id AND a.id < b.id
    WHERE a.started_at < coalesce(b.ended_at, 'infinity')
      AND b.started_at < coalesce(a.ended_at, 'infinity')
"""


@dataclass(frozen=True)
class JobRow:
    pk: int
    state: str
    worker: str
    done: float
    total: float
    resumed_at: float
    """The first step that the worker did itself."""
    running_seconds: float
    attempts: int

    @property
    def is_running(self) -> bool:
        return self.state == "running" and self.running_seconds > 0

    @property
    def step_seconds(self) -> float:
        return self.running_seconds / max(self.done - self.resumed_at + 1, 1)


def newest(rack: Rack, kind: str) -> JobRow:
    query = f"SELECT {COLUMNS} FROM jobs_job WHERE kind = %s ORDER BY id DESC LIMIT 1"
    return JobRow(*rack.rows(query, kind)[0])


def until_done(rack: Rack, kind: str, share: float) -> JobRow:
    """Once it runs and has done such a share of its work."""

    def found() -> JobRow | None:
        job = newest(rack, kind)
        assert job.state not in ("failed", "cancelled", "succeeded"), job
        return job if job.is_running and job.done > share * job.total else None

    job: JobRow = wait_for(found, 2 * MOST_SECONDS)
    return job


def taken_over(rack: Rack, kind: str, kill: Callable[[Host], None]) -> str:
    """Kill what runs the job; what happened then, in words."""
    before = newest(rack, kind)
    host = rack.host_of(before.worker)
    kill(host)
    killed_at = time.monotonic()
    before = newest(rack, kind)
    wait_for(lambda: newest(rack, kind).worker not in ("", before.worker), MOST_SECONDS)
    taken = time.monotonic() - killed_at
    after: JobRow = wait_for(lambda: runs(rack, kind), MOST_SECONDS)
    where = f"ran on {host.name}; {rack.host_of(after.worker).name} took it after {taken:.0f} s"
    if kind not in CONTINUED:
        return f"{where}, from its beginning"
    again = max(before.done - after.resumed_at + 1, 0)
    seconds = again * before.step_seconds
    return (
        f"{where}; killed at {before.done:.0f} of {before.total:.0f}, it goes on with "
        f"{after.resumed_at:.0f}: {again:.0f} done again, {seconds:.0f} s of work"
    )


def runs(rack: Rack, kind: str) -> JobRow | None:
    job = newest(rack, kind)
    return job if job.is_running else None


def assert_none_lost_or_doubled(rack: Rack) -> None:
    """No two children of a job ran at once, and none failed."""
    assert rack.rows(OVERLAPPING) == [(0,)]
    failed = rack.rows("SELECT id, kind, detail FROM jobs_job WHERE state = 'failed'")
    assert failed == []

"""The kill matrix with real trainings: each process in each phase. Writes docs/kill-matrix.md.

Each cell kills one process with -9 in one phase and checks that the job continues by itself within
90 s, from a checkpoint at most 30 s old, without two children at once and without orphans.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from finetune_app.jobs import process_ids
from finetune_app.jobs.models import ChildRun, Job, State
from finetune_app.operations.management.commands.up import web_command
from finetune_app.training.models import Training
from tests import journey
from tests.kill import real_training
from tests.kill.conftest import Processes, kill, worker_of
from tests.starter import needs_starter
from tests.worker.conftest import environment

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(3600),
    needs_starter,
]

# KILL_PHASES selects phases for a shorter run.
PROCESSES = ["child", "supervisor", "worker", "broker", "web", "engine", "clock"]
PHASES = ["queued", "loading", "training", "writing a checkpoint", "saving", "evaluating"]
CHOSEN_PHASES = [one for one in PHASES if one in os.environ.get("KILL_PHASES", ",".join(PHASES))]
NO_CHILD_YET = {("child", "queued"), ("supervisor", "queued")}
ENDS_CHILD = {"child", "supervisor", "worker"}  # killing them ends the child
TRIES = 3  # some phases last milliseconds and may be missed


@dataclass
class Cell:
    """The outcome of one kill."""

    hit: bool
    seconds: float = 0.0  # until the job continued, or ended if the kill did not affect it
    lost_seconds: float = 0.0  # work since the checkpoint from which it continued
    children: int = 0
    messages: set[str] = field(default_factory=set)  # shown on the page meanwhile

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s, {self.lost_seconds:.0f} s lost" if self.hit else "not hit"


@pytest.fixture(scope="module")
def real_processes(django_db_setup, django_db_blocker) -> Iterator[Processes]:
    """All processes of `up`, with the real kinds of job."""
    with django_db_blocker.unblock():
        env = environment() | {
            "DJANGO_SETTINGS_MODULE": "finetune_app.settings",
            "LEASE_SECONDS": "10",
        }
    processes = Processes(**env)
    processes.start()
    processes.manager.add("web", web_command(), **env)
    engine = [sys.executable, "-m", "worker.engine.server", "--socket", str(settings.ENGINE_SOCKET)]
    processes.manager.add(
        "engine",
        engine,
        **env,
        FINETUNE_ENGINE_SECRET=settings.ENGINE_SECRET,
        FINETUNE_DATA_DIR=str(settings.DATA_DIR),
    )
    yield processes
    processes.end()


def test_killing_each_process_in_each_phase_resumes_the_job(real_processes, transactional_db, team):
    table: dict[tuple[str, str], Cell] = {}
    for phase in CHOSEN_PHASES:
        for process in PROCESSES:
            if (process, phase) not in NO_CHILD_YET:
                table[process, phase] = run_cell(real_processes, team, process, phase)
                print(f"{process}, {phase}: {table[process, phase]}", flush=True)
    if CHOSEN_PHASES == PHASES:
        write_table(table)
    missed = [cell for cell, result in table.items() if not result.hit]
    assert len(missed) <= 3, f"these were not hit in {TRIES} tries: {missed}"


def run_cell(processes: Processes, team, process: str, phase: str) -> Cell:
    for _ in range(TRIES):
        job, folder = start_job(processes, team, phase)
        cell = kill_in_phase(processes, job, folder, process, phase)
        job = processes.until(job, State.SUCCEEDED, State.FAILED, seconds=300)
        assert job.state == State.SUCCEEDED, (process, phase, job.message, job.detail)
        assert_child_runs_do_not_overlap(job)
        if cell.hit:
            assert cell.seconds <= 90
            assert cell.lost_seconds <= 30
            # The kill may come too late in these phases.
            may_be_late = process in ENDS_CHILD and phase in ("queued", "saving")
            assert may_be_late or cell.children == (2 if process in ENDS_CHILD else 1)
            if cell.children == 2:
                assert any("unexpectedly" in message for message in cell.messages), cell.messages
            return cell
    return Cell(hit=False)


def start_job(processes: Processes, team, phase: str) -> tuple[Job, Path]:
    """A new training, or an evaluation of a finished one."""
    if phase != "evaluating":
        training = real_training.new_training(team)
        return training.job, settings.DATA_DIR / training.folder
    trained = Training.objects.with_adapter().first()
    if trained is None:
        trained = real_training.new_training(team)
        processes.until(trained.job, State.SUCCEEDED, seconds=300)
        trained.refresh_from_db()
    job = journey.begun(trained, None).job
    return job, settings.DATA_DIR / "evaluations"


def kill_in_phase(processes: Processes, job: Job, folder: Path, process: str, phase: str) -> Cell:
    """Wait for the phase, kill, and wait until the job continues."""
    if not wait_for_phase(job, folder, phase):
        return Cell(hit=False)
    target = process_to_kill(processes, job, process)
    tree = [target, *target.children(recursive=True)]
    steps = Job.objects.get(pk=job.pk).done
    kill(target)
    killed_at = time.time()
    cell = Cell(hit=True, lost_seconds=seconds_since_checkpoint(folder, killed_at))
    processes.wait_for(lambda: all(process_ids.start_time(one.pid) is None for one in tree))

    def has_continued() -> bool:
        row = Job.objects.get(pk=job.pk)
        cell.messages.add(row.message)
        cell.children = ChildRun.objects.filter(job=job).count()
        if not row.is_active:
            return True
        if process in ENDS_CHILD and phase != "queued":  # no child was lost
            return cell.children > 1 and row.state == State.RUNNING
        return row.state == State.RUNNING and row.done > steps

    processes.wait_for(has_continued)
    cell.seconds = time.time() - killed_at
    if cell.children == 1:
        cell.lost_seconds = 0.0  # nothing had to be repeated
    return cell


def wait_for_phase(job: Job, folder: Path, phase: str) -> bool:
    """True once the job is in the phase; False if it ended before that."""
    reached: dict[str, Callable[[Job], bool]] = {
        "queued": lambda row: True,
        "loading": lambda row: row.phase in ("reading", "loading"),
        "training": lambda row: row.state == State.RUNNING and row.done >= 6,
        "writing a checkpoint": lambda row: bool(list(folder.glob("checkpoints/.unfinished-*"))),
        "saving": lambda row: bool(list(folder.glob(".unfinished-adapter"))),
        "evaluating": lambda row: row.state == State.RUNNING and row.done > 0,
    }
    on_disk = phase in ("writing a checkpoint", "saving")
    until = time.monotonic() + 120
    row = job
    while time.monotonic() < until:
        if reached[phase](row):
            return True
        if not on_disk or int(time.monotonic() * 1000) % 200 == 0:
            row = Job.objects.get(pk=job.pk)
            if row.state in (State.SUCCEEDED, State.FAILED):
                return False
            time.sleep(0 if on_disk else 0.02)
    return False


def process_to_kill(processes: Processes, job: Job, process: str) -> psutil.Process:
    if process == "child":
        name = Job.objects.get(pk=job.pk).child
        return psutil.Process(int(name.rsplit(":", 2)[1]))
    if process == "supervisor":
        return worker_of(job)
    return processes.main_process("heavy" if process == "worker" else process)


def seconds_since_checkpoint(folder: Path, now: float) -> float:
    """0 without a checkpoint, as in an evaluation, which stores each answer at once."""
    saved_at = [mark.stat().st_mtime for mark in folder.glob("checkpoints/step-*/COMPLETE")]
    return now - max(saved_at) if saved_at else 0.0


def assert_child_runs_do_not_overlap(job: Job) -> None:
    """Children ran one after the other, and the end of each was recorded."""
    runs = list(ChildRun.objects.filter(job=job).order_by("started_at"))
    for earlier, later in pairwise(runs):
        assert earlier.ended_at is not None
        assert earlier.ended_at <= later.started_at
    assert runs[-1].ended_at is not None


def write_table(table: dict[tuple[str, str], Cell]) -> None:
    lines = [
        "# Kill matrix",
        "",
        "`kill -9` of each process in each phase of a real training (and evaluation) of the",
        "starter model, with a lease of 10 s and a checkpoint every 2 s. A cell shows the time",
        "until the job continued (or ended, if the kill did not affect it), and the age of the",
        "checkpoint from which it continued. In every cell the job succeeded in the end, its child",
        "runs never overlapped, and no orphan was left. Written by",
        f"`make long` ({os.cpu_count()} cores). With",
        "the default lease (15 s) a frozen supervisor is noticed 5 s later than here.",
        "",
        "| killed | " + " | ".join(PHASES) + " |",
        "|---" * (len(PHASES) + 1) + "|",
    ]
    for process in PROCESSES:
        cells = [str(table.get((process, phase), "-")) for phase in PHASES]
        lines.append(f"| {process} | " + " | ".join(cells) + " |")
    (settings.BASE_DIR / "docs" / "kill-matrix.md").write_text("\n".join(lines) + "\n")

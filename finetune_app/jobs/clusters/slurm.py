"""Slurm: sbatch, squeue and scancel, as the user that the clock runs as."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from finetune_app.core.environment import without_file_secrets
from finetune_app.jobs.clusters.base import ClusterState, Refused, Unavailable

PROGRAMS = ("sbatch", "squeue", "scancel")
ANSWER_SECONDS = 20.0
SAVE_SECONDS = 60  # from SIGTERM to the time limit of a job
NO_ANSWER = ("unable to contact", "socket timed out", "connection refused", "zero bytes", "timeout")
WAITS = {"PENDING", "CONFIGURING"}
RUNS = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}


class Slurm:
    title = "Slurm"

    def __init__(self) -> None:
        try:
            self._options = shlex.split(settings.CLUSTER_OPTIONS)
        except ValueError as error:
            raise ImproperlyConfigured(
                f"CLUSTER_OPTIONS cannot be read ({error}). Set it to options of sbatch, as in a "
                "shell: --partition=gpu --gres=gpu:1 --time=12:00:00"
            ) from None
        if missing := [program for program in PROGRAMS if not shutil.which(program)]:
            raise ImproperlyConfigured(
                f"CLUSTER is slurm, but {', '.join(missing)} cannot be found. Install the client "
                "programs of Slurm on each machine with a clock, or leave CLUSTER out."
            )

    def submit(self, name: str, arguments: Sequence[str]) -> str:
        command = shlex.join([sys.executable, "-m", "worker.run_job", *arguments])
        defaults = [f"--chdir={settings.BASE_DIR}", "--output=/dev/null"]
        ours = [f"--job-name={name}", "--no-requeue", f"--signal=B:TERM@{SAVE_SECONDS}"]
        told = _ask(
            ["sbatch", "--parsable", *defaults, *self._options, *ours],
            script=f"#!/bin/sh\nexec {command}\n",  # so that the signal reaches Python
            environment=without_file_secrets()
            | {"FINETUNE_LANE": "heavy", "FINETUNE_PROCESS": "heavy"},
            failure=Refused,
        )
        return told.strip().partition(";")[0]

    def states(self, names: Sequence[str]) -> dict[str, ClusterState]:
        told = _ask(
            [
                *("squeue", "--me", "--noheader", "--states=all"),
                f"--name={','.join(names)}",
                "--format=%j|%i|%T|%r",
            ]
        )
        found: dict[str, ClusterState] = {}
        for line in told.splitlines():
            name, cluster_id, state, reason = line.strip().split("|", 3)
            if name not in found or found[name].has_ended:  # one that lives comes first
                found[name] = _state(cluster_id, state, "" if reason == "None" else reason)
        return found

    def cancel(self, name: str) -> None:
        _ask(["scancel", "--me", f"--name={name}"])


def _state(cluster_id: str, state: str, reason: str) -> ClusterState:
    if state in WAITS:
        return ClusterState(cluster_id, reason)
    if state in RUNS:
        return ClusterState(cluster_id)
    return ClusterState(cluster_id, f"{state} ({reason})" if reason else state, has_ended=True)


def _ask(
    command: Sequence[str],
    *,
    script: str = "",
    environment: Mapping[str, str] | None = None,
    failure: type[Exception] = Unavailable,
) -> str:
    """What a program of Slurm prints. Raises Unavailable, and `failure` where Slurm says no."""
    try:
        ended = subprocess.run(
            command,
            input=script,
            env=environment,
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise Unavailable(str(error)) from error
    if ended.returncode == 0:
        return ended.stdout
    said = ended.stderr.strip().replace(f"{command[0]}: error: ", "")
    if any(words in said.lower() for words in NO_ANSWER):
        raise Unavailable(said)
    raise failure(said or f"{command[0]} ended with {ended.returncode}")

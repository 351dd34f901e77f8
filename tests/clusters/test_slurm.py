"""What Slurm's programs are given, and how their answers are read: small programs in their place.

tests/clusters/test_real_slurm.py has the real ones.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from finetune_app.jobs.clusters import find_cluster, slurm
from finetune_app.jobs.clusters.base import ClusterState, Refused, Unavailable
from finetune_app.jobs.clusters.slurm import Slurm


class Programs:
    """Each writes down its arguments, its input and its environment, and answers as told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in slurm.PROGRAMS:
            self.answer(name)

    def answer(self, name: str, output: str = "", *, error: str = "", code: int = 0) -> None:
        (self.folder / f"{name}.stdout").write_text(output)
        (self.folder / f"{name}.stderr").write_text(error)
        program = self.folder / name
        program.write_text(
            f"""#!/bin/sh
            for one in "$@"; do echo "$one"; done > "$0.arguments"
            cat > "$0.input"
            /usr/bin/env > "$0.environment"
            cat "$0.stdout"
            cat "$0.stderr" >&2
            exit {code}
            """
        )
        program.chmod(0o700)

    def given(self, name: str, what: str = "arguments") -> list[str]:
        return (self.folder / f"{name}.{what}").read_text().splitlines()


@pytest.fixture
def programs(tmp_path, monkeypatch, settings) -> Programs:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    settings.CLUSTER = "slurm"
    return Programs(tmp_path)


def test_sbatch_starts_our_worker_with_the_options_given(programs, settings):
    settings.CLUSTER_OPTIONS = "--partition=gpu --comment='two words; $(rm)' --job-name=theirs"
    programs.answer("sbatch", "4711;main\n")
    assert find_cluster().submit("finetune-7-ab12", ["7"]) == "4711"
    given = programs.given("sbatch")
    assert "--comment=two words; $(rm)" in given  # as it stands: there is no shell
    assert given.index("--job-name=finetune-7-ab12") > given.index("--job-name=theirs")
    assert given[-2:] == ["--no-requeue", "--signal=B:TERM@60"]
    script = programs.given("sbatch", "input")
    assert script == ["#!/bin/sh", f"exec {sys.executable} -m worker.run_job 7"]


def test_secrets_from_files_do_not_go_through_slurm(programs, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "read from a file")
    monkeypatch.setenv("SECRET_KEY_FILE", "/etc/finetune/secret-key")
    Slurm().submit("finetune-7-ab12", ["7"])
    environment = programs.given("sbatch", "environment")
    assert "SECRET_KEY_FILE=/etc/finetune/secret-key" in environment
    assert not [line for line in environment if line.startswith("SECRET_KEY=")]
    assert "FINETUNE_LANE=heavy" in environment


def test_states_are_told_apart(programs):
    programs.answer(
        "squeue",
        "a|1|PENDING|Resources\nb|2|PENDING|None\nc|3|RUNNING|None\nd|4|COMPLETED|None\n"
        "e|5|FAILED|NonZeroExitCode\nf|6|CANCELLED|None\nf|7|PENDING|Priority\nf|8|TIMEOUT|None\n",
    )
    assert Slurm().states(["a", "b"]) == {
        "a": ClusterState("1", "Resources"),
        "b": ClusterState("2"),
        "c": ClusterState("3"),
        "d": ClusterState("4", "COMPLETED", has_ended=True),
        "e": ClusterState("5", "FAILED (NonZeroExitCode)", has_ended=True),
        "f": ClusterState("7", "Priority"),  # the one that lives
    }
    assert {"--me", "--states=all", "--name=a,b"} <= set(programs.given("squeue"))


def test_as_many_as_may_be_there_are_asked_for_at_once(programs):
    """CLUSTER_JOBS_AT_ONCE is at most 1000, since an argument has at most 128 KiB in Linux."""
    Slurm().states([f"finetune-{10**12 + number}-0123abcd" for number in range(1000)])
    assert programs.given("squeue")


def test_a_job_is_cancelled_by_its_name_and_only_ours(programs):
    Slurm().cancel("finetune-7-ab12")
    assert programs.given("scancel") == ["--me", "--name=finetune-7-ab12"]


def test_what_slurm_refuses_is_told_in_its_words(programs):
    programs.answer("sbatch", error="sbatch: error: invalid partition specified: gpu\n", code=1)
    with pytest.raises(Refused, match=r"^invalid partition specified: gpu$"):
        Slurm().submit("finetune-7-ab12", ["7"])


@pytest.mark.parametrize("program", slurm.PROGRAMS)
def test_a_controller_that_is_away_is_no_refusal(programs, program):
    away = f"{program}: error: Unable to contact slurm controller (connect failure)\n"
    programs.answer(program, error=away, code=1)
    ask = {
        "sbatch": lambda: Slurm().submit("a", ["7"]),
        "squeue": lambda: Slurm().states(["a"]),
        "scancel": lambda: Slurm().cancel("a"),
    }
    with pytest.raises(Unavailable, match="Unable to contact"):
        ask[program]()


def test_a_program_that_hangs_is_ended(programs, monkeypatch):
    monkeypatch.setattr(slurm, "ANSWER_SECONDS", 0.2)
    (programs.folder / "squeue").write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(Unavailable):
        Slurm().states(["a"])


def test_options_that_cannot_be_read_end_the_start(programs, settings):
    settings.CLUSTER_OPTIONS = "--comment='open"
    with pytest.raises(ImproperlyConfigured, match="CLUSTER_OPTIONS cannot be read"):
        find_cluster()


def test_so_do_programs_that_are_missing(settings, monkeypatch, tmp_path):
    settings.CLUSTER = "slurm"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImproperlyConfigured, match="sbatch, squeue, scancel cannot be found"):
        find_cluster()


def test_the_clock_says_so_in_a_sentence(tmp_path):
    started = subprocess.run(
        [sys.executable, "manage.py", "clock"],
        env={**os.environ, "CLUSTER": "slurm", "PATH": "/nowhere", "DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert started.returncode == 1
    assert "CLUSTER is slurm, but sbatch" in started.stderr
    assert "Traceback" not in started.stderr


def test_without_a_cluster_there_is_none(settings):
    settings.CLUSTER = ""
    assert find_cluster() is None

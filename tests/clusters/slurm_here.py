"""A real Slurm on this machine: a controller, and nodes with networks, names, processes and disks
of their own (namespaces of the kernel)."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.operations.drill.host import free_port
from tests.worker.conftest import wait_for

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "unshare", "nsenter", "ip")
NODES = ("one", "two")
CONFIG = """
ClusterName=finetune
SlurmctldHost=controller({ip}.1)
SlurmctldPort={port}
SlurmdPort=6918
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
SlurmdTimeout=20
NodeName=one NodeAddr={ip}.2 CPUs=1 RealMemory=4000
NodeName=two NodeAddr={ip}.3 CPUs=1 RealMemory=4000
PartitionName=main Nodes=one,two Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        return f"a real Slurm needs {', '.join(missing)} (on Debian slurm-wlm and munge)"
    made = subprocess.run(["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "true"])
    return "namespaces of the kernel are not allowed here" if made.returncode else ""


needs_slurm = pytest.mark.skipif(bool(why_not()), reason=why_not() or "it is here")


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class SlurmHere:
    """`data_dir` is a folder of its own on each node."""

    def __init__(self, folder: Path, data_dir: Path) -> None:
        self.folder = folder
        self.data_dir = data_dir
        self.mark = f"slurm{os.getpid() % 100_000}"  # names of interfaces are short
        self.ip = f"10.97.{os.getpid() % 250}"
        self.config = folder / "slurm.conf"
        self.processes: dict[str, subprocess.Popen] = {}

    def start(self) -> None:
        for name in ("state", *(f"disk-{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        self.config.write_text(CONFIG.format(folder=self.folder, ip=self.ip, port=free_port()))
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        os.environ["SLURM_CONF"] = str(self.config)
        self._connect()
        self._start_munge()
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        wait_for(lambda: self.idle_nodes() == len(NODES), 60)

    def _connect(self) -> None:
        run("ip", "link", "add", self.mark, "type", "bridge")
        run("ip", "addr", "add", f"{self.ip}.1/24", "dev", self.mark)
        run("ip", "link", "set", self.mark, "up")
        for number, node in enumerate(NODES, 2):
            space, cable = f"{self.mark}-{node}", f"{self.mark}{node}"
            run("ip", "netns", "add", space)
            peer = ["peer", "name", "eth0", "netns", space]
            run("ip", "link", "add", cable, "type", "veth", *peer)
            run("ip", "link", "set", cable, "master", self.mark, "up")
            run("ip", "-n", space, "addr", "add", f"{self.ip}.{number}/24", "dev", "eth0")
            run("ip", "-n", space, "link", "set", "eth0", "up")
            run("ip", "-n", space, "link", "set", "lo", "up")

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid"}
        files |= {"log-file": "munged.log", "seed-file": "munged.seed"}
        options = [f"--{name}={self.folder / file}" for name, file in files.items()]
        self._start("munged", ["munged", "--foreground", "--force", *options])
        wait_for((self.folder / "munge.socket").exists)

    def start_controller(self) -> None:
        self._start(
            "controller", ["unshare", "--uts", "sh", "-c", "hostname controller; exec slurmctld -D"]
        )

    def start_node(self, node: str) -> None:
        """Its first process outlives slurmd; when it dies, the kernel ends all the others."""
        first = (
            f"hostname {node}; mount --bind {self.folder}/disk-{node} {self.data_dir}; "
            f"slurmd -D -N {node} & while :; do sleep 1; done"
        )
        own = ["--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        space = ["ip", "netns", "exec", f"{self.mark}-{node}", "unshare", *own]
        self._start(node, [*space, "sh", "-c", first])

    def start_slurmd(self, node: str) -> None:
        """Again, on a node whose slurmd was killed."""
        first = psutil.Process(self.processes[node].pid).children()[0]
        inside = ["nsenter", "-t", str(first.pid), "-a", "slurmd", "-D", "-N", node]
        self._start(f"slurmd-{node}", inside)

    def _start(self, name: str, command: list[str]) -> None:
        """It dies with the test, also with one that is killed."""
        bound = [sys.executable, "-m", "finetune_app.core.parent_death", str(os.getpid())]
        with (self.folder / f"{name}.out").open("a") as output:
            self.processes[name] = subprocess.Popen(
                [*bound, *command], stdout=output, stderr=output, start_new_session=True
            )

    def kill_controller(self) -> None:
        self._kill("controller")

    def kill_node(self, node: str) -> None:
        """All that runs there at once, as when the power goes."""
        self._kill(node)

    def process_on(self, node: str, words: str) -> psutil.Process:
        """The newest process of the node with these words in its command line."""
        found = psutil.Process(self.processes[node].pid).children(recursive=True)
        return [one for one in found if words in " ".join(one.cmdline())][-1]

    def kill_slurmd(self, node: str) -> None:
        for process in psutil.Process(self.processes[node].pid).children(recursive=True):
            if process.name() == "slurmd":
                process.send_signal(signal.SIGKILL)

    def _kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def idle_nodes(self) -> int:
        told = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%T"], capture_output=True, text=True
        )
        return told.stdout.split().count("idle")

    def jobs(self, states: str = "all") -> list[list[str]]:
        """(id, name, state, node) of each job that the controller remembers."""
        told = run("squeue", "--noheader", f"--states={states}", "--format=%i|%j|%T|%N")
        return [line.split("|") for line in told.splitlines()]

    def end(self) -> None:
        for name in [*NODES, *(set(self.processes) - set(NODES))]:
            if name in self.processes:
                self._kill(name)
        time.sleep(0.5)  # the kernel lets go of what was in the networks
        for node in NODES:
            with suppress(subprocess.CalledProcessError):
                run("ip", "netns", "del", f"{self.mark}-{node}")
        with suppress(subprocess.CalledProcessError):
            run("ip", "link", "del", self.mark)
        os.environ.pop("SLURM_CONF", None)

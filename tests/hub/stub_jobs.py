"""Hugging Face Jobs on the stub hub: a job's command is really run, as a process on this machine.

The process stands in for the container: its `pip` installs nothing, since all is here, and it sees
only what a job gets, which is its environment and its secrets.
"""

import os
import re
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hub.repositories import Refused
from tests.hub.stub_hub import StubHub

HARDWARE = [
    {
        "name": "t4-small",
        "prettyName": "Nvidia T4 - small",
        "cpu": "4 vCPU",
        "ram": "15 GB",
        "ephemeralStorage": "50 GB",
        "accelerator": {
            "type": "gpu",
            "model": "T4",
            "quantity": "1",
            "vram": "16 GB",
            "manufacturer": "Nvidia",
        },
        "unitCostMicroUSD": 6667,
        "unitCostUSD": 0.006667,
        "unitLabel": "minute",
    },
    {
        "name": "cpu-basic",
        "prettyName": "CPU Basic",
        "cpu": "2 vCPU",
        "ram": "16 GB",
        "ephemeralStorage": "20 GB",
        "accelerator": None,
        "unitCostMicroUSD": 167,
        "unitCostUSD": 0.000167,
        "unitLabel": "minute",
    },
]
FIELDS = {
    "command",
    "arguments",
    "environment",
    "secrets",
    "flavor",
    "timeoutSeconds",
    "labels",
    "dockerImage",
}


@dataclass
class StubJob:
    """`given`: what was posted. `ended`: its stage once it is over."""

    job_id: str
    namespace: str
    given: dict[str, Any]
    process: subprocess.Popen | None = None
    ended: str = ""
    log: Path | None = None

    @property
    def stage(self) -> str:
        if self.ended:
            return self.ended
        if self.process is None:
            return "SCHEDULING"
        code = self.process.poll()
        return "RUNNING" if code is None else "ERROR" if code else "COMPLETED"


@dataclass
class StubJobs:
    """Added to a hub. runs: whether commands are run; without, a test ends the jobs itself."""

    hub: StubHub
    folder: Path
    runs: bool = False
    jobs: list[StubJob] = field(default_factory=list)
    hardware: list[dict[str, Any]] = field(default_factory=lambda: [dict(one) for one in HARDWARE])

    def __post_init__(self) -> None:
        self.hub.others.append(self._answer)

    @property
    def job(self) -> StubJob:
        (only,) = self.jobs
        return only

    def wait(self) -> StubJob:
        """Until the command is over."""
        assert self.job.process is not None
        self.job.process.wait(timeout=800)
        return self.job

    def end(self) -> None:
        for job in self.jobs:
            if job.process is not None and job.process.poll() is None:
                job.process.kill()
                job.process.wait()

    def _answer(self, handler: Any, method: str, path: str, query: dict, body: bytes) -> Any:
        if (method, path) == ("GET", "/api/jobs/hardware"):
            return self.hardware
        found = re.fullmatch(r"/api/jobs/([^/]+)(?:/([^/]+))?(?:/(cancel|logs))?", path)
        if not found:
            return None
        namespace, job_id, what = found.groups()
        handler._require_write(namespace)
        if job_id is None:
            if method == "POST":
                return self._start(handler, namespace, body)
            labels = query.get("label", [])
            return [self._told(one) for one in self.jobs if self._has(one, namespace, labels)]
        job = next((one for one in self.jobs if one.job_id == job_id), None)
        if job is None:
            raise Refused(404)
        if (method, what) == ("POST", "cancel"):
            return self._cancel(job)
        if (method, what) == ("GET", "logs"):
            text = job.log.read_text(errors="replace") if job.log else ""
            lines = [f'data: {{"data": "{line[:100]}"}}' for line in text.splitlines()[-20:]]
            return ("\n\n".join(line.replace("\\", "/") for line in lines) + "\n\n").encode()
        return self._told(job)

    def _start(self, handler: Any, namespace: str, body: bytes) -> dict[str, Any]:
        import json

        given = json.loads(body)
        handler._fields(given, FIELDS)
        if given["flavor"] not in {one["name"] for one in self.hardware}:
            raise handler._complain(f"flavor {given['flavor']}")
        if not isinstance(given["command"], list) or given["arguments"] != []:
            raise handler._complain("a command is a list of texts")
        job = StubJob(f"job{len(self.jobs) + 1:024d}", namespace, given)
        self.jobs.append(job)
        if self.runs:
            self._run(job)
        return self._told(job)

    def _run(self, job: StubJob) -> None:
        folder = self.folder / job.job_id
        programs = folder / "bin"
        programs.mkdir(parents=True)
        for name, content in (
            ("pip", "#!/bin/sh\nexit 0\n"),
            ("python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'),
        ):
            (programs / name).write_text(content)
            (programs / name).chmod(stat.S_IRWXU)
        environment = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
            "FINETUNE_TELL_SECONDS": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **job.given["environment"],
            **job.given["secrets"],
        }
        job.log = folder / "log.txt"
        with job.log.open("wb") as log:
            job.process = subprocess.Popen(
                job.given["command"], env=environment, cwd=folder, stdout=log, stderr=log
            )

    def _cancel(self, job: StubJob) -> dict[str, Any]:
        if job.stage not in ("SCHEDULING", "RUNNING"):
            raise Refused(400, message="the job is over")
        job.ended = "CANCELED"
        self.end()
        return {}

    def _has(self, job: StubJob, namespace: str, labels: list[str]) -> bool:
        own = {f"{name}={value}" for name, value in job.given["labels"].items()}
        return job.namespace == namespace and set(labels) <= own

    def _told(self, job: StubJob) -> dict[str, Any]:
        given = job.given
        return {
            "id": job.job_id,
            "createdAt": "2026-11-28T08:00:00.000Z",
            "dockerImage": given["dockerImage"],
            "command": given["command"],
            "arguments": [],
            "environment": given["environment"],
            "flavor": given["flavor"],
            "labels": given["labels"],
            "status": {"stage": job.stage, "message": None},
            "durations": {"schedulingSecs": 2, "runningSecs": 61, "totalSecs": 63},
            "owner": {"id": "1", "name": job.namespace, "type": "user"},
        }

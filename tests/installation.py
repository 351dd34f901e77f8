"""An installation in its own folder, started with `manage.py up`."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import psutil
import pytest
from django.conf import settings

from finetune_app.jobs import process_ids
from tests import starter
from tests.worker.conftest import wait_for

OIDC_CLIENT = ("OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET")
MANAGE = [sys.executable, "manage.py"]


@dataclass(frozen=True)
class Installation:
    address: str  # with the one-time set-up code
    data_dir: Path
    environment: dict[str, str]
    process: psutil.Process

    @property
    def site(self) -> str:
        return self.address.partition("/set-up/")[0]

    def manage(self, *words: str) -> str:
        """Output of a `manage.py` command in this installation."""
        done = subprocess.run(
            [*MANAGE, *words],
            cwd=settings.BASE_DIR,
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def files_of_goals(self) -> list[str]:
        """All files of goals: uploads, versions, runs, evaluations."""
        kept = {"models", "logs", "static", "run", "in-use", "secrets"}
        folders = [one for one in self.data_dir.iterdir() if one.is_dir() and one.name not in kept]
        found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        names = sorted(str(path.relative_to(self.data_dir)) for path in found)
        return [name for name in names if "general-cache" not in name]  # of the base model


@contextmanager
def started(
    tmp_path: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
    *,
    with_starter: bool = True,
) -> Iterator[Installation]:
    """`manage.py up --with-starter` on a free port, as `make run` starts it; by default it waits
    for the starter model. `environment` has further variables."""
    if not starter.is_there():
        pytest.skip(starter.WHY_NOT)
    data_dir = tmp_path / "data"
    if with_starter:
        starter.link_starter(data_dir)
    env = os.environ | {
        "DATA_DIR": str(data_dir),
        "PORT": str(free_port()),
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "DJANGO_SETTINGS_MODULE": "finetune_app.settings",
        "LEASE_SECONDS": "15",
        "HF_HUB_OFFLINE": "1",
        **environment,
    }
    # The default environment: all cores, low priority, no provider to sign in with.
    for name in ("OMP_NUM_THREADS", "FINETUNE_NICENESS", "OIDC_ISSUER", *OIDC_CLIENT):
        env.pop(name, None)
    output = tmp_path / "up.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            [*MANAGE, "up", "--with-starter"],
            cwd=settings.BASE_DIR,
            env=env,
            stdout=file,
            stderr=file,
        )
    try:
        wait_for(lambda: "Ctrl-C ends it" in output.read_text(), seconds=120)
        if with_starter and "starter model is prepared meanwhile" in output.read_text():
            wait_for(lambda: "starter model is ready" in output.read_text(), seconds=120)
        address = re.search(r"http://\S+", output.read_text()).group(0)
        yield Installation(address, data_dir, env, psutil.Process(process.pid))
    finally:
        alive = process.poll() is None
        family = psutil.Process(process.pid).children(recursive=True) if alive else []
        process.send_signal(signal.SIGINT)  # like Ctrl-C
        try:
            assert process.wait(30) == 0
            wait_for(lambda: all(process_ids.start_time(one.pid) is None for one in family))
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]

"""Two hosts on this computer: host names, data folders and processes of their own, and a store in
the manner of S3 that they share with the database, the broker and the secrets."""

import logging
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.conf import settings as django_settings
from django.db import transaction
from moto.server import ThreadedMotoServer

from finetune_app.accounts.models import Team
from finetune_app.core.files import names_below, publish_folder
from finetune_app.jobs.process_manager import ManagedProcess, ProcessManager
from finetune_app.operations.management.commands.up import (
    broker_command,
    web_command,
    worker_command,
)
from finetune_app.training.models import Training
from tests.kill import real_training
from tests.operations.drill.host import free_port
from tests.s3_store import S3
from tests.worker.conftest import environment

BUCKET = S3["OPTIONS"]["bucket_name"]
KEYS = {
    "AWS_ACCESS_KEY_ID": "of a test",
    "AWS_SECRET_ACCESS_KEY": "of a test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def _has_namespaces() -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "--uts", "true"], capture_output=True).returncode == 0


needs_namespaces = pytest.mark.skipif(
    not _has_namespaces(), reason="hosts need names of their own: unshare --uts is not allowed here"
)


class Host:
    """Its processes, which a test starts and kills."""

    def __init__(self, name: str, data_dir: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.data_dir = data_dir
        self.web_port, self.engine = free_port(), f"127.0.0.1:{free_port()}"
        (data_dir / "logs").mkdir(parents=True)
        self.manager = ProcessManager(data_dir / "logs")
        self.environment = environment | {"DATA_DIR": str(data_dir), "PORT": str(self.web_port)}

    def start(self, name: str, command: list[str], **more: str) -> None:
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', self.name, *command]
        self.manager.add(name, named, **self.environment, **more, FINETUNE_PROCESS=name)

    def manage(self, name: str, **more: str) -> None:
        manage = str(django_settings.BASE_DIR / "manage.py")
        self.start(name, [sys.executable, manage, name], **more)

    def start_heavy(self) -> None:
        self.start("heavy", worker_command("heavy", 1), FINETUNE_LANE="heavy")

    def start_engine(self) -> None:
        self.manage("engine", ENGINE_LISTEN=self.engine)

    def start_web(self) -> None:
        self.start("web", web_command(), FINETUNE_WEB="1", DEBUG="1", WEB_PROCESSES="1")

    def process(self, name: str) -> ManagedProcess:
        return next(one for one in self.manager.processes if one.name == name)

    def kill(self) -> None:
        """All at once, as when the power goes."""
        self.manager.kill()


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The address of the store, whose bucket is empty."""
    with s3_server("127.0.0.1") as address:
        yield address


@contextmanager
def s3_server(ip: str) -> Iterator[str]:
    """A server in the manner of S3 with an empty bucket; yields its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line for each request
    server = ThreadedMotoServer(ip_address=ip, port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    with in_environment(KEYS):
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)
        yield address
    server.stop()


@contextmanager
def in_environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture
def new_host(store, settings, transactional_db, tmp_path) -> Iterator[Callable[[str], Host]]:
    """A host by its name. The test itself is a third one."""
    shared = share(settings, store, tmp_path / "third")
    broker = ProcessManager(tmp_path)
    if settings.BROKER_SOCKET:
        broker.add("broker", broker_command(settings.BROKER_SOCKET))
    hosts: list[Host] = []

    def make(name: str) -> Host:
        hosts.append(Host(name, tmp_path / name, shared))
        return hosts[-1]

    yield make
    for host in hosts:
        host.kill()
    broker.kill()


def share(settings, store: str, data_dir: Path) -> dict[str, str]:
    """Make the test itself a host with this data folder; returns the environment of the others."""
    options = {"bucket_name": BUCKET, "endpoint_url": store, "file_overwrite": True}
    settings.STORAGES = settings.STORAGES | {"default": S3 | {"OPTIONS": options}}
    settings.DATA_DIR = data_dir
    settings.DATA_DIR.mkdir()
    secrets = {
        "SECRET_KEY": settings.SECRET_KEY,
        "FIELD_KEYS": ",".join(settings.FIELD_KEYS),
        "KEY_PEPPER": settings.KEY_PEPPER,
        "ENGINE_SECRET": settings.ENGINE_SECRET,
    }
    return (
        environment()
        | KEYS
        | secrets
        | {
            "DJANGO_SETTINGS_MODULE": "finetune_app.settings",
            "LEASE_SECONDS": "10",
            "CLOCK_SECONDS": "0.5",
            "REDIS_URL": settings.REDIS_URL,
            "S3_BUCKET": BUCKET,
            "S3_ENDPOINT_URL": store,
        }
    )


def stored_training(team: Team, **spec: Any) -> Training:
    """A training that waits, with its files in the store and none of them on a host."""
    publish_folder(real_training.starter().folder)
    with transaction.atomic():  # somebody may wait for it already
        training = real_training.new_training(team)
        training.spec = training.spec | spec
        training.save()
        publish_folder(training.version.stored_name.rpartition("/")[0])
    return training


def stored_steps(training: Training) -> list[int]:
    """Of the complete checkpoints in the store."""
    names = names_below(f"{training.folder}/checkpoints")
    return [int(name.split("step-")[1][:6]) for name in names if name.endswith("/COMPLETE")]


def answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as one:
        return one.connect_ex((host, int(port))) == 0

"""An installation on several hosts of this computer, which a test may kill, freeze and unplug:

    proxy     haproxy before the two webs
    db        PostgreSQL
    redis     Redis
    store     a server in the manner of S3
    host-1    a web, the clock, a light and a heavy worker, an engine
    host-2    the same

Each has a network, a name and a folder of its own. docs/several-hosts.md is followed step by step.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import psycopg
from django.conf import settings

from finetune_app.jobs.process_manager import ManagedProcess, ProcessManager
from finetune_app.operations.management.commands.up import web_command, worker_command
from tests.rack import network
from tests.rack.network import SUBNET, Network
from tests.starter import link_starter
from tests.worker.conftest import wait_for

NUMBERS = {"proxy": 10, "db": 11, "redis": 12, "store": 13, "host-1": 21, "host-2": 22}
LEASE_SECONDS = 10
BUCKET = "finetune"
MOST_SECONDS = 300.0  # for anything that a slow machine does
MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]
KEYS = {
    "AWS_ACCESS_KEY_ID": "of a test",
    "AWS_SECRET_ACCESS_KEY": "of a test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
# Tests compute on one thread (tests/environment.py), hosts on all their cores.
WITH_ALL_CORES = ["env", "-u", "OMP_NUM_THREADS"]
# Of whoever runs the tests; the hosts have their own or none.
NOT_OF_THE_HOSTS = ("SECRET_KEY", "FIELD_KEYS", "KEY_PEPPER", "ENGINE_SECRET")
NOT_OF_THE_HOSTS += ("OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "OIDC_NAME")


class Host:
    """Its processes run as long as nobody kills them; none is started again by itself."""

    def __init__(self, net: Network, name: str, folder: Path) -> None:
        self.name, self.net = name, net
        self.address = net.add(name, NUMBERS[name])
        self.folder = folder / name
        (self.folder / "logs").mkdir(parents=True)
        self.manager = ProcessManager(self.folder / "logs")
        self.environment: dict[str, str] = {}

    def start(self, name: str, command: list[str], **more: str) -> None:
        command = self.net.on(self.name, [*WITH_ALL_CORES, *command])
        self.manager.add(name, command, **self.environment, **more)

    def run(self, *command: str, **more: str) -> str:
        """What it prints."""
        done = subprocess.run(
            self.net.on(self.name, list(command)),
            env=os.environ | self.environment | more,
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def says_healthy(self, name: str) -> bool:
        """What the command for health checks says of one of its processes."""
        command = self.net.on(self.name, [*MANAGE, "healthy", name])
        done = subprocess.run(
            command, env=os.environ | self.environment, cwd=settings.BASE_DIR, capture_output=True
        )
        return done.returncode == 0

    def process(self, name: str) -> ManagedProcess:
        return next(one for one in self.manager.processes if one.name == name)

    # ---- What may happen to it ----

    def kill(self, name: str) -> None:
        """The process and those that it has started."""
        self.process(name).kill_all()

    def start_again(self, name: str) -> None:
        self.process(name).start(self.folder / "logs")

    def lose_power(self) -> None:
        """All at once, and nobody in the network is told."""
        self.net.unplug(self.name)
        self.manager.kill()

    def power_up(self) -> None:
        self.net.plug(self.name)
        for process in self.manager.processes:
            process.start(self.folder / "logs")

    def send(self, name: str, number: int) -> None:
        """A signal to the process and to all that it has started: SIGSTOP freezes it."""
        if (main := self.process(name).process) is None:
            return
        with suppress(psutil.Error):
            family = psutil.Process(main.pid)
            for one in [family, *family.children(recursive=True)]:
                one.send_signal(number)

    def end(self) -> None:
        for process in self.manager.processes:
            self.send(process.name, signal.SIGCONT)
        self.manager.end()


class Rack:
    """All hosts, and what a test looks at."""

    def __init__(self, net: Network, folder: Path) -> None:
        self.hosts = {name: Host(net, name, folder) for name in NUMBERS}
        self.proxy, self.db, self.redis, self.store, self.one, self.two = self.hosts.values()
        self.both = (self.one, self.two)
        self.site = f"http://{self.proxy.address}:8000"
        self.database_url = f"postgres://finetune@{self.db.address}:5432/finetune"

    def start(self) -> None:
        start_postgres(self.db)
        limits = ["--save", "", "--maxmemory", "64mb", "--protected-mode", "no"]
        self.redis.start("redis", ["redis-server", "--bind", self.redis.address, *limits])
        self.store.start(
            "store", [sys.executable, "-m", "moto.server", "-H", self.store.address, "-p", "5000"]
        )
        make_bucket(f"http://{self.store.address}:5000")
        for host in self.both:
            host.environment = self.environment(host)
        self.prepare()
        for host in self.both:
            start_all(host)
        webs = {f"WEB_{n}": f"{host.address}:8000" for n, host in enumerate(self.both, start=1)}
        listen = {"LISTEN": f"{self.proxy.address}:8000"}
        config = str(settings.BASE_DIR / "deploy/haproxy.cfg")
        self.proxy.start("haproxy", ["haproxy", "-db", "-f", config], **webs, **listen)
        wait_for(lambda: all(map(self.is_ready, self.both)), MOST_SECONDS)

    def environment(self, host: Host) -> dict[str, str]:
        engines = ",".join(f"{one.address}:8700" for one in self.both)
        return dict.fromkeys(NOT_OF_THE_HOSTS, "") | {
            "DJANGO_SETTINGS_MODULE": "finetune_app.settings",
            "DATA_DIR": str(host.folder),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": f"redis://{self.redis.address}:6379/0",
            "S3_BUCKET": BUCKET,
            "S3_ENDPOINT_URL": f"http://{self.store.address}:5000",
            **KEYS,
            "HOST": host.address,
            "PORT": "8000",
            "PUBLIC_URL": self.site,
            "BEHIND_PROXY": "1",
            "WEB_PROCESSES": "1",
            "ENGINES": engines,
            "ENGINE_LISTEN": f"{host.address}:8700",
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "HF_HUB_OFFLINE": "1",
        }

    def prepare(self) -> None:
        """Once, on one host; then the other gets its secrets."""
        link_starter(self.one.folder)
        self.one.run(*MANAGE, "prepare")
        shutil.copy(self.one.folder / "secrets.json", self.two.folder / "secrets.json")
        for host in self.both:
            host.run(*MANAGE, "collectstatic", "--noinput", "-v0")

    def end(self) -> None:
        for host in reversed(self.hosts.values()):
            host.end()

    # ---- What a test looks at ----

    def set_up_address(self) -> str:
        """Where the first person signs up."""
        return self.one.run(*MANAGE, "set_up_address")

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, connect_timeout=5) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type]

    def ready(self, host: Host) -> tuple[int, dict[str, str]]:
        """The status and the parts that its web tells; (0, {}) where there is no answer."""
        try:
            told = httpx.get(f"http://{host.address}:8000/readyz", timeout=5)
        except httpx.HTTPError:
            return 0, {}
        return told.status_code, told.json()

    def is_ready(self, host: Host) -> bool:
        return self.ready(host)[0] == 200

    def host_of(self, worker: str) -> Host:
        """Of a worker's id in the database."""
        return next(host for host in self.both if worker.startswith(f"{host.name}-"))


def start_all(host: Host) -> None:
    host.start("web", web_command(), FINETUNE_WEB="1")
    host.start("clock", [*MANAGE, "clock"])
    host.start("light", worker_command("light", 1), FINETUNE_LANE="light")
    host.start("heavy", worker_command("heavy", 1), FINETUNE_LANE="heavy")
    host.start("engine", [*MANAGE, "engine"])


def start_postgres(host: Host) -> None:
    """PostgreSQL refuses to run as root."""
    user = pwd.getpwnam("postgres" if _exists("postgres") else "nobody")
    data = host.folder / "data"
    data.mkdir(mode=0o700)
    os.chown(data, user.pw_uid, user.pw_gid)
    as_user = ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid)]
    # What ends it with this process is lost with the change of the user.
    as_user += ["--clear-groups", "--pdeathsig", "INT"]
    programs = postgres_programs()
    assert programs is not None
    options = ["-U", "finetune", "-A", "trust", "-E", "UTF8", "--no-locale"]
    host.run(*as_user, str(programs / "initdb"), "-D", str(data), *options)
    with (data / "pg_hba.conf").open("a") as file:
        file.write(f"host all all {SUBNET}.0/24 trust\n")
    where = ["-h", host.address, "-k", str(data), "-c", "shared_buffers=64MB"]
    host.start("postgres", [*as_user, str(programs / "postgres"), "-D", str(data), *where])
    address = f"postgres://finetune@{host.address}:5432/postgres"

    def create() -> bool:
        try:
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute("CREATE DATABASE finetune")
        except psycopg.OperationalError:
            return False
        return True

    wait_for(create, MOST_SECONDS)


def _exists(user: str) -> bool:
    return any(one.pw_name == user for one in pwd.getpwall())


def make_bucket(address: str) -> None:
    wait_for(lambda: _answers(address), MOST_SECONDS)
    boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        region_name=KEYS["AWS_DEFAULT_REGION"],
    ).create_bucket(Bucket=BUCKET)


def _answers(address: str) -> bool:
    try:
        httpx.get(address, timeout=5)
    except httpx.HTTPError:
        return False
    return True


def postgres_programs() -> Path | None:
    """The folder of initdb and postgres. Debian keeps them off the PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    places += [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    return next((one for one in places if (one / "postgres").exists()), None)


def why_not() -> str:
    """Why there can be no rack on this computer, and what to install; "" where there can."""
    if reason := network.why_not():
        return reason
    missing = [name for name in ("haproxy", "redis-server", "setpriv") if not shutil.which(name)]
    missing += [] if postgres_programs() else ["initdb"]
    packages = "haproxy, redis-server, util-linux and postgresql"
    return f"{', '.join(missing)} missing: install {packages}" if missing else ""


@contextmanager
def started() -> Iterator[Rack]:
    """All of it, removed at the end, also after a failure or Ctrl-C."""
    with ExitStack() as stack:
        net = stack.enter_context(Network())
        folder = Path(tempfile.mkdtemp(prefix="finetune-hosts-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)  # PostgreSQL is another user
        rack = Rack(net, folder)
        stack.callback(rack.end)
        rack.start()
        yield rack

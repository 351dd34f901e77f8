"""docker-compose.yml: what it starts is what `make run` starts, and nothing is left open."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from finetune_app.core.environment import FILES_FOR
from finetune_app.operations.management.commands.up import web_command, worker_command

FILE = settings.BASE_DIR / "docker-compose.yml"
CADDYFILE = settings.BASE_DIR / "deploy/Caddyfile"
OF_OTHERS = {"AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "FINETUNE_PROCESS"}  # boto3's, and logs'


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text())["services"]


def command_of(service: dict[str, Any]) -> list[str]:
    return shlex.split(service["command"])


@pytest.mark.parametrize(("lane", "processes"), [("light", 2), ("heavy", 1)])
def test_workers_are_started_as_on_one_computer(services, lane, processes):
    _python, _module, *here = worker_command(lane, processes)
    assert command_of(services[lane]) == here
    assert services[lane]["environment"]["FINETUNE_LANE"] == lane


def test_so_is_the_web(services):
    assert command_of(services["web"]) == web_command()[2:]
    assert services["web"]["environment"]["FINETUNE_WEB"] == "1"


def test_every_service_that_stays_is_watched_and_bounded(services):
    for name, service in services.items():
        assert service["mem_limit"], name
        assert name in ("prepare", "proxy") or service["healthcheck"], name
        if "build" in service:
            assert service["init"], name  # reaps what children leave behind


def test_only_the_proxy_is_open_to_others(services):
    for name, service in services.items():
        for port in service.get("ports", []):
            assert name == "proxy" or port.startswith("127.0.0.1:"), (name, port)


def test_no_secret_is_in_the_environment(services):
    for name, service in services.items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|SECRET", variable):
                assert variable.endswith("_FILE"), (name, variable)
                assert value.startswith("/run/secrets/"), (name, value)
                known = variable.removesuffix("_FILE")
                assert known in FILES_FOR or known == "POSTGRES_PASSWORD", known


def test_every_variable_of_the_app_is_one_that_the_settings_know(services):
    code = (settings.BASE_DIR / "finetune_app/settings.py").read_text()
    code += (settings.BASE_DIR / "finetune_app/core/file_store.py").read_text()
    ours = services["web"]["environment"].keys() - OF_OTHERS
    unknown = [name for name in ours if name.removesuffix("_FILE") not in code + str(FILES_FOR)]
    assert unknown == []


def test_images_of_others_have_a_version(services):
    for name, service in services.items():
        if "build" not in service:
            assert re.search(r":\d", service["image"]), name


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not here")
def test_docker_compose_reads_it(tmp_path):
    (tmp_path / "secrets").mkdir()
    for name in ("database", "store"):
        (tmp_path / "secrets" / name).write_text("p@ss/word")
    shutil.copy(FILE, tmp_path)
    command = ["docker-compose", "--profile", "gpu", "--profile", "https", "config"]
    done = subprocess.run(
        [*command, "--format", "json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["services"]
    card = found["heavy-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert [one["driver"] for one in card] == ["nvidia"]
    assert found["heavy-gpu"]["command"] == found["heavy"]["command"]
    assert "p@ss" not in done.stdout


@pytest.mark.skipif(not shutil.which("caddy"), reason="Caddy is not here")
def test_caddy_reads_its_file(tmp_path):
    command = ["caddy", "adapt", "--adapter", "caddyfile", "--config", str(CADDYFILE)]
    home = {"HOME": str(tmp_path), "PATH": str(Path(shutil.which("caddy") or "").parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=home)
    assert done.returncode == 0, done.stderr
    assert "web:8000" in done.stdout


@pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not here")
def test_haproxy_reads_its_file():
    """What it does: tests/hosts."""
    places = {"LISTEN": "127.0.0.1:8000", "WEB_1": "127.0.0.1:8001", "WEB_2": "127.0.0.1:8002"}
    command = [
        str(shutil.which("haproxy")),
        "-c",
        "-f",
        str(settings.BASE_DIR / "deploy/haproxy.cfg"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=places)
    assert done.returncode == 0, done.stderr

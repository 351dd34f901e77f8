"""Numbers and yes-or-no settings of the environment: a wrong one ends the start with a sentence."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from finetune_app.core import environment

NUMBERS = [
    "PORT",
    "WEB_PROCESSES",
    "TEAM_STORAGE_GB",
    "LEASE_SECONDS",
    "CLOCK_SECONDS",
    "REQUEST_LOG_DAYS",
    "JOB_LOG_DAYS",
    "AUDIT_LOG_DAYS",
    "EMAIL_PORT",
    "FINETUNE_NICENESS",
    "CARDS_PER_WORKER",
    "TEAM_JOBS_AT_ONCE",
    "CLUSTER_JOBS_AT_ONCE",
]
FLAGS = ["DEBUG", "BEHIND_PROXY", "EMAIL_USE_TLS", "HF_HUB_OFFLINE", "OIDC_TRUSTS_EMAIL"]
MISTAKES = [(name, value) for name in NUMBERS for value in ("abc", "-1")]
MISTAKES += [(name, "maybe") for name in FLAGS]
MISTAKES += [
    ("JOB_LOG_DAYS", "1.5"),
    ("PORT", "70000"),
    ("LEASE_SECONDS", "nan"),
    ("SSL_REDIRECT", "maybe"),
    ("DATABASE_URL", "mydatabase"),
    ("LOG_LEVEL", "loud"),
    ("ENGINES", "gpu-1"),
    ("CLUSTER", "pbs"),
    ("OIDC_ALLOWED_DOMAINS", "*.shop.example"),
]


@pytest.fixture
def days(monkeypatch):
    def read(value: str) -> int:
        monkeypatch.setenv("KEPT_DAYS", value)
        return environment.whole_number("KEPT_DAYS", 180, least=0, most=36500, unit="days")

    return read


def test_a_number_in_the_range_is_taken_and_an_empty_one_is_the_default(days):
    assert [days(value) for value in ("0", " 7 ", "36500", "")] == [0, 7, 36500, 180]


@pytest.mark.parametrize("value", ["-1", "abc", "1.5", "36501"])
def test_another_is_refused_by_name_with_what_it_may_be(days, value):
    with pytest.raises(ImproperlyConfigured) as refused:
        days(value)
    assert str(refused.value) == (
        f"KEPT_DAYS is '{value}'. Set it to a whole number of days from 0 to 36500, "
        "or leave it out for 180."
    )


@pytest.mark.parametrize(
    ("value", "on"),
    [("1", True), ("TRUE", True), ("yes", True), ("0", False), ("off", False), ("", True)],
)
def test_yes_and_no_are_understood(value, on):
    assert environment.flag("TLS", True, {"TLS": value}) is on


def test_addresses_have_a_host_and_a_port(monkeypatch):
    monkeypatch.setenv("ENGINES", "gpu-1:8700, [fd00::1]:8700,")
    assert environment.addresses("ENGINES") == ("gpu-1:8700", "[fd00::1]:8700")
    monkeypatch.setenv("ENGINES", "")
    assert environment.addresses("ENGINES") == ()


@pytest.mark.parametrize("given", ["gpu-1", "gpu-1:", ":8700", "gpu-1:http", "a:1,b:70000"])
def test_another_address_is_refused(monkeypatch, given):
    monkeypatch.setenv("ENGINES", given)
    with pytest.raises(ImproperlyConfigured, match="ENGINES is"):
        environment.addresses("ENGINES")


def test_a_secret_may_be_in_a_file(monkeypatch, tmp_path):
    file = tmp_path / "store"
    file.write_text("p@ss/word:with#odd%characters\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from before")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY_FILE", str(file))
    environment.read_secret_files()
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "p@ss/word:with#odd%characters"


@pytest.mark.parametrize("content", [None, "", " \n", b"\xff\xfe"])
def test_a_file_without_a_secret_ends_the_start(monkeypatch, tmp_path, content):
    file = tmp_path / "store"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv("SECRET_KEY_FILE", str(file))
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY_FILE names"):
        environment.read_secret_files()


def test_the_password_of_the_database_needs_no_escapes(tmp_path):
    file = tmp_path / "database"
    file.write_text("p@ss/word:with#odd%characters")
    database = database_settings(tmp_path, DATABASE_PASSWORD_FILE=str(file))
    assert database["PASSWORD"] == "p@ss/word:with#odd%characters"


@pytest.mark.parametrize("process", ["FINETUNE_WEB", "FINETUNE_LANE", "FINETUNE_PROCESS"])
def test_what_the_address_of_the_database_says_holds_for_every_process(tmp_path, process):
    address = "postgres://finetune@db:5432/finetune?sslmode=require&connect_timeout=30"
    options = database_settings(tmp_path, address, **{process: "heavy"})["OPTIONS"]
    assert options["sslmode"] == "require"
    assert int(options["connect_timeout"]) == 30
    assert ("pool" in options) == (process == "FINETUNE_WEB")


def test_a_database_whose_host_is_gone_is_noticed_in_less_than_half_a_minute(tmp_path):
    options = database_settings(tmp_path)["OPTIONS"]
    assert 10_000 <= options["tcp_user_timeout"] <= 30_000, "milliseconds; a busy one is not gone"
    assert 0 < options["connect_timeout"] <= 5


def database_settings(
    tmp_path: Path, address: str = "postgres://finetune@db:5432/finetune", **variables: str
) -> dict[str, Any]:
    code = (
        "import json; from finetune_app import settings; "
        "print(json.dumps(settings.DATABASES['default']))"
    )
    given = {"DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": address} | variables
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | given,
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_engine_listens_at_one_address(monkeypatch):
    monkeypatch.setenv("ENGINE_LISTEN", "0.0.0.0:8700,0.0.0.0:8701")
    with pytest.raises(ImproperlyConfigured, match="one host:port"):
        environment.address("ENGINE_LISTEN")


@pytest.mark.parametrize(("name", "value"), MISTAKES)
def test_a_mistake_ends_the_start_with_one_sentence(name, value, tmp_path):
    given = {"DATA_DIR": str(tmp_path), "PUBLIC_URL": "https://finetune.example", name: value}
    done = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=settings.BASE_DIR,
        env=os.environ | given,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(name)
    assert value in done.stderr or name == "DATABASE_URL"
    assert done.stderr.count("\n") == 1, "no traceback"

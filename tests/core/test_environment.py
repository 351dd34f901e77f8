"""Numbers and yes-or-no settings of the environment: a wrong one ends the start with a sentence."""

import os
import subprocess
import sys

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

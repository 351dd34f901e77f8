"""A host with other secrets than the installation was started with says so, and does not start."""

import os
import subprocess
import sys
from io import StringIO

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from finetune_app.core import secrets, shared_secrets
from finetune_app.core.models import SecretFingerprint
from tests.worker.conftest import environment

pytestmark = pytest.mark.django_db(transaction=True)  # a start closes its connection


def prepare(**options: object) -> None:
    call_command("prepare", without_starter=True, stdout=StringIO(), **options)


@pytest.fixture
def elsewhere(settings, tmp_path):
    """A second host with a data folder of its own, once the first has been prepared."""
    prepare()
    settings.DATA_DIR = tmp_path
    return settings


def start() -> None:
    """What the web, the clock and each worker do first."""
    shared_secrets.require_shared_secrets()


def test_a_host_with_the_same_secrets_starts(elsewhere):
    start()
    prepare()
    start()


def test_a_host_with_others_is_told_which_and_what_to_do(elsewhere):
    elsewhere.SECRETS = secrets.load_secrets(elsewhere.DATA_DIR)  # made here, at the first start
    for attempt in (start, prepare):
        with pytest.raises((SystemExit, CommandError)) as refused:
            attempt()
        said = str(refused.value)
        assert "SECRET_KEY, FIELD_KEYS, KEY_PEPPER of this host are not" in said
        assert "copy their DATA_DIR/secrets.json" in said
        assert not any(one in said for one in (elsewhere.SECRETS["secret_key"], "gAAAA"))


def test_a_single_one_is_named_alone(elsewhere):
    elsewhere.SECRETS = elsewhere.SECRETS | {"key_pepper": "another"}
    with pytest.raises(SystemExit, match=r"^KEY_PEPPER of this host is not"):
        start()


def test_a_change_that_was_meant_is_accepted_once(elsewhere):
    elsewhere.SECRETS = elsewhere.SECRETS | {"secret_key": "another"}
    prepare(accept_secrets=True)
    start()
    prepare()


def test_a_new_key_beside_the_old_one_needs_no_word(elsewhere):
    old = elsewhere.SECRETS
    elsewhere.SECRETS = old | {"secret_key": "new", "secret_key_fallbacks": [old["secret_key"]]}
    start()
    prepare()
    elsewhere.SECRETS = old  # a host that still has only the old one
    with pytest.raises(SystemExit, match="SECRET_KEY"):
        start()


def test_the_secret_of_the_engine_may_differ(elsewhere):
    elsewhere.SECRETS = elsewhere.SECRETS | {"engine_secret": "another"}
    start()


def test_no_secret_is_in_the_database(elsewhere):
    stored = str(list(SecretFingerprint.objects.values_list()))
    for names in shared_secrets.accepted(elsewhere.SECRETS).values():
        assert not any(secret in stored for secret in names)


def test_while_the_database_is_away_it_starts(elsewhere, monkeypatch, caplog):
    def away() -> list[str]:
        raise DatabaseError("gone")

    monkeypatch.setattr(shared_secrets, "names_that_differ", away)
    start()
    assert "was not checked" in caplog.text


ASK_IN_TWO_FORKS = """
import os, django
django.setup()
from django.db import connection
from finetune_app.core.shared_secrets import require_shared_secrets
require_shared_secrets()
for _fork in range(2):
    if os.fork() == 0:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid(), pg_sleep(0.3)")
            print(cursor.fetchone()[0], flush=True)
        os._exit(0)
for _fork in range(2):
    os.wait()
"""


@pytest.mark.skipif(django_settings.ON_SQLITE, reason="of PostgreSQL")
def test_web_processes_do_not_share_the_connection_that_asked(db):
    done = subprocess.run(
        [sys.executable, "-c", ASK_IN_TWO_FORKS],
        env=os.environ
        | environment()
        | {"FINETUNE_WEB": "1", "LOG_LEVEL": "ERROR"}
        | {"DJANGO_SETTINGS_MODULE": "finetune_app.settings"},
        cwd=django_settings.BASE_DIR,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == 2

"""manage.py prepare: the database, then the starter; nothing twice."""

import threading
from io import StringIO

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection

from finetune_app.basemodels.catalogue import STARTER
from finetune_app.core import shared_secrets
from finetune_app.operations.management.commands import prepare
from finetune_app.operations.postgres import one_migration_at_a_time
from tests import journey
from tests.worker.conftest import wait_for


def prepared(**options: object) -> str:
    out = StringIO()
    call_command("prepare", stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def starter(db):
    return journey.install(STARTER)


def test_with_nothing_to_do_it_says_nothing(starter):
    assert prepared(without_starter=True) == ""


def test_it_installs_the_starter_last(db, monkeypatch):
    called = []
    monkeypatch.setattr(prepare, "call_command", lambda name, **options: called.append(name))
    prepared()
    assert called == ["install_starter"]


def test_an_old_database_is_saved_before_it_changes(starter, goal, monkeypatch):
    called = []
    monkeypatch.setattr(prepare.MigrationExecutor, "migration_plan", lambda self, goals: ["one"])
    monkeypatch.setattr(prepare, "call_command", lambda name, **options: called.append(name))
    said = prepared(without_starter=True)
    assert called == ["backup", "migrate"]
    assert "Backing up before the database changes shape." in said


def test_secrets_that_were_meant_to_change_are_accepted_before_the_backup(
    starter, goal, monkeypatch, settings
):
    """A backup is refused with others than the installation was started with."""
    prepared(without_starter=True)
    settings.SECRETS = settings.SECRETS | {"secret_key": "another"}
    unknown = {}

    def called(name: str, **options: object) -> None:
        unknown[name] = shared_secrets.names_that_differ()

    monkeypatch.setattr(prepare.MigrationExecutor, "migration_plan", lambda self, goals: ["one"])
    monkeypatch.setattr(prepare, "call_command", called)
    with pytest.raises(CommandError, match="SECRET_KEY of this host is not"):
        prepared(without_starter=True)
    assert unknown == {}  # nothing was changed
    prepared(without_starter=True, accept_secrets=True)
    assert unknown == {"backup": [], "migrate": []}


def test_an_empty_one_is_not(starter, monkeypatch):
    called = []
    monkeypatch.setattr(prepare.MigrationExecutor, "migration_plan", lambda self, goals: ["one"])
    monkeypatch.setattr(prepare, "call_command", lambda name, **options: called.append(name))
    prepared(without_starter=True)
    assert called == ["migrate"]


@pytest.mark.skipif(django_settings.ON_SQLITE, reason="of PostgreSQL")
@pytest.mark.django_db(transaction=True)
def test_two_hosts_migrate_one_after_the_other(caplog):
    ended = threading.Event()

    def prepare_at_another_host() -> None:
        try:
            prepared(without_starter=True)
        finally:
            connection.close()
            ended.set()

    other = threading.Thread(target=prepare_at_another_host)
    with one_migration_at_a_time():
        other.start()
        wait_for(lambda: "another host prepares this database" in caplog.text)
        assert not ended.is_set()
    other.join(60)
    assert ended.is_set()

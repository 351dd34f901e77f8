"""The clock erases the traces of a deletion once, and the shell whenever it is asked."""

from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from finetune_app.audit.models import AuditEntry
from finetune_app.core.audit import AuditAction
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job, State
from finetune_app.operations import erasure
from finetune_app.versions import signals as versions_signals
from tests import journey
from tests.erasure.traces import files_with

pytestmark = pytest.mark.django_db(transaction=True)
on_sqlite = pytest.mark.skipif("not __import__('django.conf').conf.settings.ON_SQLITE")
NOTE = Path(settings.DATA_DIR) / "run" / "erased-up-to"


@pytest.fixture(autouse=True)
def _no_note():
    NOTE.unlink(missing_ok=True)
    yield
    NOTE.unlink(missing_ok=True)


@pytest.fixture
def erased(monkeypatch) -> list[bool]:
    """How often traces were erased."""
    calls: list[bool] = []
    monkeypatch.setattr(erasure, "erase_traces", lambda: calls.append(True) or True)
    return calls


def deletion(**fields) -> None:
    AuditEntry.objects.create(**{"action": AuditAction.GOAL_DELETED, "status": 302} | fields)


def test_once_after_each_deletion(erased):
    erasure.erase_after_deletions()
    assert len(erased) == 0
    deletion()
    erasure.erase_after_deletions()
    erasure.erase_after_deletions()
    assert len(erased) == 1
    deletion(action=AuditAction.ACCOUNT_DELETED)
    erasure.erase_after_deletions()
    assert len(erased) == 2


def test_after_every_deletion_that_the_audit_log_knows():
    words = ("deleted", "emptied", "push_forgotten")
    assert set(erasure.DELETIONS) == {a for a in AuditAction if a.value.endswith(words)} | {
        AuditAction.PLATFORM_DELETED
    }


def test_a_deletion_that_was_cut_off_is_finished(data_dir):
    """Its folder was renamed, and the process ended before the files were gone."""
    left = data_dir / "runs" / ".7.deleted" / "model.safetensors"
    deeper = data_dir / "models" / ".everyday" / ".starter.deleted" / "rows.pt"
    kept = data_dir / "runs" / "8" / "model.safetensors"
    for path in (left, deeper, kept):
        path.parent.mkdir(parents=True)
        path.write_text("weights")
    erasure.erase_after_deletions()
    assert not left.parent.exists()
    assert not deeper.parent.exists()
    assert kept.exists()


def test_one_folder_that_cannot_be_deleted_keeps_no_other(goal, owner, monkeypatch):
    """As where a store is away for a moment: the goal is gone, and each folder was tried."""
    journey.trained(journey.ready(goal, owner), owner)
    deleted: list[str] = []

    def delete(name: str) -> None:
        deleted.append(name)
        raise OSError("the store is away")

    monkeypatch.setattr(versions_signals, "delete_folder", delete)
    monkeypatch.setattr(versions_signals, "delete_file", delete)
    goal.delete()
    assert len(deleted) > 1


def test_not_after_other_actions_or_a_refused_deletion(erased):
    deletion(action=AuditAction.KEY_CREATED)
    deletion(status=403)
    erasure.erase_after_deletions()
    assert erased == []


def test_again_while_the_database_is_in_use(monkeypatch):
    deletion()
    answers = iter([False, True])
    monkeypatch.setattr(erasure, "erase_traces", lambda: next(answers))
    erasure.erase_after_deletions()
    assert not NOTE.exists()
    erasure.erase_after_deletions()
    assert NOTE.exists()


def test_jobs_and_files_of_what_is_there_stay(team, goal, data_dir):
    job = Job.objects.create(team=team, kind="train", state=State.SUCCEEDED)
    log = data_dir / "logs" / f"job-{job.pk}.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("step 1")
    erasure.erase_traces()
    assert Job.objects.filter(pk=job.pk).exists()
    assert log.exists()
    job.delete()
    erasure.erase_traces()
    assert not log.exists()


@on_sqlite
def test_a_large_database_is_written_anew_by_the_shell_alone(team, monkeypatch, capsys):
    monkeypatch.setattr(erasure, "MAX_VACUUM_BYTES", 0)
    statements: list[str] = []

    def note(execute, sql, *rest):
        statements.append(sql)
        return execute(sql, *rest)

    with connection.execute_wrapper(note):
        erasure.erase_traces()
        assert "VACUUM" not in statements
        call_command("erase_traces")
    assert "VACUUM" in statements
    assert "Nothing" in capsys.readouterr().out


@pytest.mark.skipif("__import__('django.conf').conf.settings.ON_SQLITE")
def test_on_postgresql_the_shell_says_what_is_left_to_do(team, capsys):
    call_command("erase_traces")
    assert "VACUUM FULL" in capsys.readouterr().out


@on_sqlite
def test_bytes_of_deleted_rows_are_overwritten(team):
    """Also among many rows, of which SQLite rearranges the pages."""
    for number in range(300):
        name = f"secretname{number}" if number % 3 else f"other{number}"
        text = f"{name} " * (number % 40)
        Goal.objects.create(team=team, name=name, description=text, pairs=[])
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA secure_delete")
        assert cursor.fetchone() == (1,)
    Goal.objects.filter(name__startswith="secretname").delete()
    assert erasure.erase_traces()
    assert files_with("secretname") == []
    assert files_with("other3")

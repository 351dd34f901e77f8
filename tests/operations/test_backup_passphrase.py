"""A backup with a passphrase: its secrets, and so stored keys, are read only with that."""

import json
import tarfile
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings as current
from django.core.management import CommandError, call_command

from finetune_app.goals.models import Goal
from finetune_app.operations import exclusive_use
from finetune_app.operations.passphrase import VARIABLE
from tests.operations.test_backup import in_use

pytestmark = pytest.mark.django_db(transaction=True)
PASSPHRASE = "correct horse battery staple"


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Other tests of this process may have served pages."""
    in_use.release()
    monkeypatch.setattr(exclusive_use, "WATCH_SECONDS", 0)


@pytest.fixture
def saved(goal, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(VARIABLE, PASSPHRASE)
    target = tmp_path / "kept" / "backup.tar.gz"
    call_command("backup", str(target), stdout=StringIO())
    return target


def test_it_comes_back_with_its_passphrase(saved, goal, data_dir):
    goal.delete()
    secrets = (data_dir / "secrets.json").read_bytes()
    call_command("restore", str(saved), stdout=StringIO())
    assert Goal.objects.get().name == goal.name
    assert json.loads((data_dir / "secrets.json").read_bytes()) == json.loads(secrets)


def test_no_secret_is_in_it(saved):
    with tarfile.open(saved) as archive:
        assert "secrets.json" not in archive.getnames()
        content = b"".join(
            archive.extractfile(one).read() for one in archive.getmembers() if one.isfile()
        )
    for name in ("secret_key", "key_pepper", "engine_secret"):
        assert current.SECRETS[name].encode() not in content
    for key in current.SECRETS["field_keys"]:
        assert key.encode() not in content


@pytest.mark.parametrize("wrong", ["another passphrase", ""])
def test_without_the_passphrase_nothing_is_changed(saved, goal, monkeypatch, wrong):
    monkeypatch.setenv(VARIABLE, wrong)
    monkeypatch.setattr("sys.stdin", StringIO())
    with pytest.raises(CommandError, match="passphrase"):
        call_command("restore", str(saved), force=True, stdout=StringIO())
    assert Goal.objects.get() == goal


def test_one_that_is_easily_guessed_is_refused(goal, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "short")
    target = tmp_path / "backup.tar.gz"
    with pytest.raises(CommandError, match="at least 12 characters"):
        call_command("backup", str(target), stdout=StringIO())
    assert list(tmp_path.iterdir()) == []


def test_where_nobody_can_type_it_says_so(goal, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin", StringIO())
    with pytest.raises(CommandError, match=VARIABLE):
        call_command("backup", str(tmp_path / "b.tar.gz"), passphrase=True, stdout=StringIO())

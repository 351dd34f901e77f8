"""The key of a platform is nowhere in clear: no page, log, file, backup or row has it."""

import logging
import tarfile
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.urls import reverse

from finetune_app.remote_training.models import PlatformAccount
from tests.erasure.traces import files_with, rows_with
from tests.remote_training.conftest import on_every_platform, step
from tests.remote_training.loopback import Fault

pytestmark = pytest.mark.django_db(transaction=True)


def texts_of(archive: Path) -> bytes:
    with tarfile.open(archive) as opened:
        files = [opened.extractfile(one) for one in opened.getmembers() if one.isfile()]
        return b"".join(file.read() for file in files if file)


@on_every_platform
def test_a_key_that_was_used_and_refused(
    as_owner,
    account,
    start,
    frozen,
    platform,
    caplog,
    tmp_path,
):
    caplog.set_level(logging.DEBUG)
    key = platform.secret
    training = step(step(start()))
    platform.faults.append(Fault("GET", ".*", status=500, message=f"bad key {key}"))
    training = step(training)
    platform.key = "another"  # it is not accepted any more
    training = step(training)
    pages = [
        reverse("remote_training:accounts"),
        reverse("remote_training:change_account", args=[account.pk]),
        reverse("remote_training:where", args=[frozen.pk]),
        reverse("remote_training:launch", args=[frozen.pk, account.pk]),
        reverse("remote_training:detail", args=[frozen.pk, training.number]),
    ]
    for address in pages:
        assert key not in as_owner.get(address).content.decode()
    assert key not in caplog.text
    assert not rows_with(key)
    assert not files_with(key)
    backup = tmp_path / "backup.tar.gz"
    call_command("backup", str(backup), stdout=StringIO())
    assert key.encode() not in texts_of(backup)


def test_a_new_account_that_is_refused(as_owner, platform, caplog):
    caplog.set_level(logging.DEBUG)
    key = "sk-a-key-with-a-typing-error"
    answer = as_owner.post(
        reverse("remote_training:add_account") + "?platform=openai",
        {"url": platform.url, "name": "Mine", "key": key},
    )
    assert answer.status_code == 422
    assert not PlatformAccount.objects.exists()
    assert key not in answer.content.decode()
    assert key not in caplog.text
    assert not rows_with(key)

"""From the last release to this version, back, and here again, with data that was made on the way.

Nothing has been released yet; a commit stands for the last release.
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from tests.operations.drill.host import Host, empty_host
from tests.run import POSTGRES, listens

LAST_RELEASE = "aee8ca4bf3ffa78d56a4eecbf394c895190ff043"
GIT = ["git", "-C", str(settings.BASE_DIR)]


def has_last_release() -> bool:
    asked = [*GIT, "cat-file", "-e", f"{LAST_RELEASE}^{{commit}}"]
    return bool(shutil.which("git")) and not subprocess.run(asked, capture_output=True).returncode


pytestmark = [
    pytest.mark.long,
    pytest.mark.no_database,
    pytest.mark.skipif(not has_last_release(), reason="the last release is not in this history"),
]
NAMES = ["Made after the upgrade", "Made after the way back", "Sort shop emails"]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def host(request, tmp_path) -> Iterator[Host]:
    if request.param == "PostgreSQL" and not listens(5432):
        pytest.skip("PostgreSQL does not run here")
    with empty_host(tmp_path / "host", POSTGRES if request.param == "PostgreSQL" else "") as made:
        yield made


@pytest.fixture(scope="module")
def older(tmp_path_factory) -> Path:
    """The source code of the last release."""
    folder = tmp_path_factory.mktemp("older")
    saved = subprocess.run([*GIT, "archive", LAST_RELEASE], capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=saved.stdout, check=True)
    return folder


def test_upgrade_roll_back_and_upgrade_again(host, older):
    host.manage("prepare", "--without-starter", code=older)
    host.script("seed", code=older)
    key = host.manage("apikey", code=older).strip()

    upgraded = host.manage("prepare", "--without-starter")
    assert "Backing up before the database changes shape." in upgraded
    (backup,) = (host.data_dir / "backups").iterdir()
    used = host.script("use", "Made after the upgrade")
    assert set(used["pages"].values()) == {200}
    assert host.script("ask", key) == 200

    rolled_back = host.manage("roll_back", str(backup))
    assert "Undone: api_keys.0002_pepper_id" in rolled_back
    assert host.manage("prepare", "--without-starter", code=older) == ""
    used = host.script("use", "Made after the way back", code=older)
    assert set(used["pages"].values()) == {200}
    assert used["goals"] == [
        "Made after the upgrade",
        "Made after the way back",
        "Sort shop emails",
    ]
    assert used["token"] == "a provider's token"
    assert host.script("ask", key, code=older) == 200

    host.manage("prepare", "--without-starter")
    used = host.script("use")
    assert set(used["pages"].values()) == {200}
    assert used["goals"] == [
        "Made after the upgrade",
        "Made after the way back",
        "Sort shop emails",
    ]
    assert used["token"] == "a provider's token"
    assert host.script("ask", key) == 200

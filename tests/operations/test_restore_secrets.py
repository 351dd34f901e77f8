"""A backup holds the secrets in force, also those that the environment sets."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

SECRETS = {
    "SECRET_KEY": "a key of the environment that is long enough for Django's check",
    "FIELD_KEYS": Fernet.generate_key().decode(),
    "KEY_PEPPER": "a pepper of the environment",
    "ENGINE_SECRET": "a secret of the environment",
}


@pytest.fixture(scope="module")
def api_key(host) -> str:
    """Of a host whose secrets come from the environment."""
    host.manage("prepare", "--without-starter", **SECRETS)
    host.script("seed", **SECRETS)
    return host.manage("apikey", **SECRETS).strip()


@pytest.fixture(scope="module")
def saved(host, api_key, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("kept") / "backup.tar.gz"
    host.manage("backup", str(target), **SECRETS)
    return target


def test_an_old_key_and_a_stored_token_work_on_an_empty_host(saved, api_key, another_host):
    assert "LOOK" not in another_host.attempt("manage.py", "restore", str(saved)).stderr
    assert another_host.script("ask", api_key) == 200
    assert another_host.script("use")["token"] == "a provider's token"
    assert (another_host.data_dir / "secrets.json").stat().st_mode & 0o077 == 0


def test_where_the_environment_sets_them_they_work_as_well(saved, api_key, another_host):
    done = another_host.attempt("manage.py", "restore", str(saved), **SECRETS)
    assert "LOOK" not in done.stderr
    assert another_host.script("ask", api_key, **SECRETS) == 200


def test_other_secrets_in_the_environment_are_told(saved, api_key, another_host):
    other = {"KEY_PEPPER": "another pepper", "ENGINE_SECRET": SECRETS["ENGINE_SECRET"]}
    done = another_host.attempt("manage.py", "restore", str(saved), **other)
    assert "LOOK: the environment sets KEY_PEPPER to something else" in done.stderr
    assert "another pepper" not in done.stderr
    assert "Restored." in done.stdout
    assert another_host.script("ask", api_key, **other) == 401
    assert another_host.script("ask", api_key) == 200


def test_a_backup_without_the_environment_of_the_start_is_refused(host, saved, tmp_path):
    target = tmp_path / "backup.tar.gz"
    refused = host.attempt("manage.py", "backup", str(target))
    assert refused.returncode == 1
    assert "SECRET_KEY, FIELD_KEYS, KEY_PEPPER here and where" in refused.stderr
    assert not target.exists()
    assert "KEY_PEPPER here and where Finetune was" in host.attempt("manage.py", "doctor").stdout


def test_a_start_with_other_secrets_is_refused(host, saved):
    """And gives none of them away."""
    other = SECRETS | {"KEY_PEPPER": "another pepper"}
    refused = host.attempt("manage.py", "prepare", "--without-starter", **other)
    assert (
        "KEY_PEPPER of this host is not what this installation was started with" in refused.stderr
    )
    assert "pepper of the environment" not in refused.stderr
    host.manage("prepare", "--without-starter", **SECRETS)


def test_an_installation_that_is_not_there_is_not_saved(another_host, tmp_path):
    target = tmp_path / "backup.tar.gz"
    refused = another_host.attempt("manage.py", "backup", str(target))
    assert "There is nothing to save" in refused.stderr
    assert "Set DATA_DIR and DATABASE_URL" in refused.stderr
    assert not target.exists()

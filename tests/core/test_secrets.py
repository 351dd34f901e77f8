"""Secrets are created once, readable by their owner only, and encrypt fields."""

import json
import subprocess
import sys

import pytest
from cryptography.fernet import Fernet, InvalidToken

from finetune_app.core.encryption import decrypt, encrypt
from finetune_app.core.secrets import load_secrets

RACE = """
import sys, pathlib, time
from finetune_app.core.secrets import load_secrets
while not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.001)
print(load_secrets(pathlib.Path(sys.argv[1]))["secret_key"])
"""


def test_several_processes_agree_on_the_first_start(tmp_path):
    data, go = tmp_path / "data", tmp_path / "go"
    data.mkdir()
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, str(data), str(go)], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    go.touch()
    said = {racer.communicate(timeout=60)[0] for racer in racers}
    assert len(said) == 1
    assert said != {b""}
    assert [path.name for path in data.iterdir()] == ["secrets.json"]


def test_only_the_owner_reads_them(tmp_path):
    load_secrets(tmp_path)
    assert (tmp_path / "secrets.json").stat().st_mode & 0o077 == 0


def test_they_stay_the_same(tmp_path):
    assert load_secrets(tmp_path) == load_secrets(tmp_path)


def test_the_environment_wins_so_that_machines_can_share(tmp_path, monkeypatch):
    keys = [Fernet.generate_key().decode() for _ in range(2)]
    monkeypatch.setenv("SECRET_KEY", "shared")
    monkeypatch.setenv("FIELD_KEYS", ",".join(keys))
    found = load_secrets(tmp_path)
    assert (found["secret_key"], found["field_keys"]) == ("shared", keys)
    assert "shared" not in json.loads((tmp_path / "secrets.json").read_text()).values()


def test_what_is_encrypted_comes_back_and_cannot_be_read(settings):
    secret = "hf_Größenwahn"
    kept = encrypt(secret)
    assert secret not in kept
    assert decrypt(kept) == secret
    assert encrypt(secret) != kept


def test_a_new_key_in_front_still_reads_what_the_old_one_wrote(settings):
    kept = encrypt("token")
    settings.FIELD_KEYS = [Fernet.generate_key().decode(), *settings.FIELD_KEYS]
    assert decrypt(kept) == "token"


def test_another_installation_cannot_read_it(settings):
    kept = encrypt("token")
    settings.FIELD_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(InvalidToken):
        decrypt(kept)

"""manage.py rotate_secret and forget_old_secret: what goes on, what ends, and what is said."""

import ast
import json
from io import StringIO
from pathlib import Path

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from cryptography.fernet import Fernet
from django.apps import apps
from django.conf import settings as configured
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from finetune_app.api_keys import services as api_keys
from finetune_app.basemodels.models import HubToken
from finetune_app.core import in_use
from finetune_app.core.encryption import decrypt, encrypt
from finetune_app.core.secrets import load_secrets
from finetune_app.operations import exclusive_use, secret_rotation
from finetune_app.providers.models import Endpoint
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def start(settings, monkeypatch, tmp_path):
    """start() gives the settings the secrets that a new process would have."""
    in_use.release()
    monkeypatch.setattr(exclusive_use, "WATCH_SECONDS", 0)
    settings.DATA_DIR = tmp_path

    def start() -> None:
        for name, secret in load_secrets(tmp_path).items():
            setattr(settings, name.upper(), secret)

    start()
    return start


@pytest.fixture
def run(start):
    """run("rotate_secret", ...) runs a command while nothing else does, then starts again."""

    def run(*words: str) -> str:
        out = StringIO()
        call_command(*words, stdout=out)
        start()
        return out.getvalue()

    return run


def is_signed_in(browser: Client) -> bool:
    return browser.get("/account/").status_code == 200


def works(text: str) -> bool:
    return api_keys.authenticate(text) is not None


def test_a_new_secret_key_keeps_sessions(run, owner, settings):
    old, used, unused = settings.SECRET_KEY, signed_in(owner), signed_in(owner)
    said = run("rotate_secret", "secret_key")
    assert settings.SECRET_KEY not in {old, ""}
    assert [old] == settings.SECRET_KEY_FALLBACKS
    assert "Sessions go on" in said
    assert "Start Finetune again." in said
    assert old not in said
    assert is_signed_in(used)
    said = run("forget_old_secret", "secret_key")
    assert "signs in again" in said
    assert is_signed_in(used)
    assert not is_signed_in(unused)


def test_without_a_rotation_there_is_no_old_key_to_forget(run, settings):
    key = settings.SECRET_KEY
    said = run("forget_old_secret", "secret_key")
    assert "There is no old key for sessions to forget." in said
    assert "forgotten" not in said
    assert key == settings.SECRET_KEY


def test_a_new_pepper_keeps_api_keys_that_are_used(run, team, owner, settings):
    (used, used_text), (idle, idle_text) = (
        api_keys.create_key(team=team, by=owner, name=name) for name in ("mailbox", "old script")
    )
    old = settings.KEY_PEPPER
    assert "2 keys go on" in run("rotate_secret", "key_pepper")
    assert old != settings.KEY_PEPPER
    assert works(used_text)
    said = run("forget_old_secret", "key_pepper")
    assert f"{idle} “old script” of Kettle Lane Cycles" in said
    assert str(used) not in said
    assert settings.KEY_PEPPER_FALLBACKS == []
    assert works(used_text)
    assert not works(idle_text)


def test_the_previous_secret_of_a_key_outlives_the_pepper(run, team, owner):
    key, first = api_keys.create_key(team=team, by=owner, name="mailbox")
    _key, second = api_keys.rotate_key(key=key, by=None, hours=24)
    run("rotate_secret", "key_pepper")
    assert works(first)
    assert works(second)
    assert "goes on" in run("forget_old_secret", "key_pepper")
    assert works(first)
    assert works(second)


def test_peppers_rotated_twice_still_open(run, team, owner):
    _key, text = api_keys.create_key(team=team, by=owner, name="mailbox")
    run("rotate_secret", "key_pepper")
    run("rotate_secret", "key_pepper")
    assert works(text)
    run("forget_old_secret", "key_pepper")
    assert works(text)
    assert "no old pepper" in run("forget_old_secret", "key_pepper")


@pytest.fixture
def stored(team, owner) -> Endpoint:
    HubToken.objects.create(team=team, secret=encrypt("hf_token"))
    return Endpoint.objects.create(
        team=team,
        name="Remote",
        url="https://api.example.com/v1",
        model="big-1",
        secret=encrypt("sk-token"),
        consented_by=owner,
        consented_at=timezone.now(),
    )


def test_a_new_field_key_keeps_stored_tokens(run, stored, settings):
    (old,) = settings.FIELD_KEYS
    assert "2 stored tokens are encrypted with the new key" in run("rotate_secret", "field_keys")
    assert old not in settings.FIELD_KEYS
    assert len(settings.FIELD_KEYS) == 1
    stored.refresh_from_db()
    assert decrypt(stored.secret) == "sk-token"
    assert decrypt(HubToken.objects.get().secret) == "hf_token"


def test_a_new_field_key_keeps_second_factors(run, owner):
    TOTP.activate(owner, "JBSWY3DPEHPK3PXP")
    assert "1 stored tokens" in run("rotate_secret", "field_keys")
    kept = Authenticator.objects.get(type=Authenticator.Type.TOTP)
    assert decrypt(kept.data["secret"]) == "JBSWY3DPEHPK3PXP"


def test_a_token_that_no_key_reads_is_told_and_left(run, stored):
    lost = Fernet(Fernet.generate_key()).encrypt(b"lost").decode()
    Endpoint.objects.update(secret=lost)
    said = run("rotate_secret", "field_keys")
    assert "1 stored tokens are encrypted" in said
    assert "1 could not be read" in said
    assert Endpoint.objects.get().secret == lost


def test_a_rotation_that_breaks_off_loses_nothing(run, start, stored, monkeypatch):
    def broken(_keys: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(secret_rotation, "_encrypt_again", broken)
        with pytest.raises(CommandError, match="No space left"):
            run("rotate_secret", "field_keys")
    start()
    assert decrypt(stored.secret) == "sk-token"
    run("rotate_secret", "field_keys")
    stored.refresh_from_db()
    assert decrypt(stored.secret) == "sk-token"


def test_texts_inside_json_are_encrypted_again(settings):
    newest = Fernet.generate_key().decode()
    value = {"secret": encrypt("totp"), "codes": [encrypt("one"), 7], "kind": "totp"}
    settings.FIELD_KEYS = [newest, *settings.FIELD_KEYS]
    texts = secret_rotation.Texts(settings.FIELD_KEYS)
    changed = texts.encrypted_again(value)
    settings.FIELD_KEYS = [newest]
    assert decrypt(changed["secret"]) == "totp"
    assert decrypt(changed["codes"][0]) == "one"
    assert (changed["codes"][1], changed["kind"], texts.again) == (7, "totp", 2)


def test_a_new_engine_secret(run, settings, team, owner):
    old = settings.ENGINE_SECRET
    _key, text = api_keys.create_key(team=team, by=owner, name="mailbox")
    assert "the engine is new" in run("rotate_secret", "engine_secret")
    assert old != settings.ENGINE_SECRET
    assert works(text)


def test_a_pepper_derived_from_the_engine_secret_outlives_it(start, run, team, owner, settings):
    """Of an installation that is older than the pepper."""
    file = settings.DATA_DIR / "secrets.json"
    older = json.loads(file.read_text())
    del older["key_pepper"], older["key_pepper_fallbacks"], older["secret_key_fallbacks"]
    file.write_text(json.dumps(older))
    start()
    _key, text = api_keys.create_key(team=team, by=owner, name="mailbox")
    run("rotate_secret", "engine_secret")
    assert works(text)


def test_all_at_once(run, stored, owner, team, settings):
    _key, text = api_keys.create_key(team=team, by=owner, name="mailbox")
    browser = signed_in(owner)
    run("rotate_secret", *secret_rotation.ROTATIONS)
    stored.refresh_from_db()
    assert decrypt(stored.secret) == "sk-token"
    assert works(text)
    assert is_signed_in(browser)
    assert (settings.DATA_DIR / "secrets.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["SECRET_KEY", "KEY_PEPPER", "ENGINE_SECRET"])
def test_what_the_environment_sets_is_changed_there(run, monkeypatch, settings, name):
    before = (settings.DATA_DIR / "secrets.json").read_bytes()
    monkeypatch.setenv(name, "of the environment")
    with pytest.raises(CommandError, match=f"{name} is set by the environment. Put a new one"):
        run("rotate_secret", name.lower())
    assert (settings.DATA_DIR / "secrets.json").read_bytes() == before


def test_a_pepper_of_the_environment(run, start, monkeypatch, team, owner, settings):
    key, text = api_keys.create_key(team=team, by=owner, name="mailbox")
    monkeypatch.setenv("KEY_PEPPER_FALLBACKS", settings.KEY_PEPPER)
    monkeypatch.setenv("KEY_PEPPER", "of the environment")
    start()
    with pytest.raises(CommandError, match=f"These API keys then end:\n  {key} “mailbox”"):
        run("forget_old_secret", "key_pepper")
    assert works(text)
    with pytest.raises(CommandError, match="These API keys then end: none"):
        run("forget_old_secret", "key_pepper")


def test_field_keys_of_the_environment(run, start, monkeypatch, stored, settings):
    (old,) = settings.FIELD_KEYS
    monkeypatch.setenv("FIELD_KEYS", old)
    with pytest.raises(CommandError, match="Put a new key before the old one"):
        run("rotate_secret", "field_keys")
    new = Fernet.generate_key().decode()
    monkeypatch.setenv("FIELD_KEYS", f"{new},{old}")
    start()
    assert "Now take the old keys out of FIELD_KEYS" in run("rotate_secret", "field_keys")
    monkeypatch.setenv("FIELD_KEYS", new)
    start()
    stored.refresh_from_db()
    assert decrypt(stored.secret) == "sk-token"


def test_refused_while_finetune_runs(run, settings):
    in_use.hold(settings.DATA_DIR, "web")
    try:
        with pytest.raises(CommandError, match=r"the web has .* in use\. Stop it first"):
            run("rotate_secret", "secret_key")
    finally:
        in_use.release()


def test_every_place_that_encrypts_is_listed():
    """Who adds an encrypted field adds it to ENCRYPTED."""
    callers = set()
    for path in sorted(Path(configured.BASE_DIR, "finetune_app").rglob("*.py")):
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if is_encrypting(node))
        if any(calls):
            callers.add(path.relative_to(Path(configured.BASE_DIR, "finetune_app")).parts[0])
    listed = {app for app, _model, _field in secret_rotation.ENCRYPTED}
    # accounts encrypts for allauth's mfa, operations a backup with the passphrase of its own.
    assert callers - {"core", "accounts", "operations"} == listed - {"mfa"}
    for app, model, field in secret_rotation.ENCRYPTED:
        if app in apps.app_configs:
            assert apps.get_model(app, model)._meta.get_field(field)


def is_encrypting(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    return "encrypt" in {getattr(called, "id", None), getattr(called, "attr", None)}

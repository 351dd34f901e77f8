"""Gives an installation new secrets. See docs/secrets.md.

`rotate` keeps an old secret beside the new one where it is still needed, and `forget_old` ends
that. Both need the installation alone, since a running process keeps the secrets that it started
with.
"""

from collections.abc import Callable
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings
from django.db import models, transaction

from finetune_app.api_keys.digests import pepper_id
from finetune_app.api_keys.models import ApiKey
from finetune_app.core import secrets, shared_secrets
from finetune_app.operations.errors import OperationError
from finetune_app.operations.exclusive_use import exclusive_use

# (app, model, field) of what core/encryption.py encrypted; in a JSON field any text may be.
ENCRYPTED = [
    ("providers", "Endpoint", "secret"),
    ("remote_training", "PlatformAccount", "secret"),
    ("basemodels", "HubToken", "secret"),
    ("hub_training", "HubJobsAccount", "secret"),
    ("alerts", "Watch", "secret"),
    ("mfa", "Authenticator", "data"),
]
FERNET_START = "gAAAAA"  # of each encrypted text


class SetByEnvironment(OperationError):
    """The message says what to change there."""


def rotate(name: str) -> str:
    """Replace a secret; returns what goes on and what ends.

    Raises SetByEnvironment, and InstallationInUse while anything uses the installation.
    """
    with exclusive_use():
        return ROTATIONS[name]()


def forget_old(name: str) -> str:
    """Accept only the newest secret; returns what ends. Raises as `rotate` does."""
    with exclusive_use():
        return FORGETTING[name]()


def _rotate_secret_key() -> str:
    _require_file("secret_key", "Put a new one there, and the old one into SECRET_KEY_FALLBACKS.")
    found = secrets.read_secrets(settings.DATA_DIR)
    found["secret_key_fallbacks"].insert(0, found["secret_key"])
    found["secret_key"] = secrets.new_token()
    _write(found)
    return (
        "The key that signs sessions is new. Sessions go on: those with the old key until "
        "`manage.py forget_old_secret secret_key`."
    )


def _forget_secret_key() -> str:
    _require_file("secret_key_fallbacks", "Take it out there.")
    found = secrets.read_secrets(settings.DATA_DIR)
    if not found["secret_key_fallbacks"]:
        return "There is no old key for sessions to forget."
    found["secret_key_fallbacks"] = []
    _write(found)
    return (
        "Old keys for sessions are forgotten. Whoever has not been here since the rotation signs "
        "in again."
    )


def _rotate_key_pepper() -> str:
    _require_file("key_pepper", "Put a new one there, and the old one into KEY_PEPPER_FALLBACKS.")
    found = secrets.read_secrets(settings.DATA_DIR)
    found["key_pepper_fallbacks"].insert(0, found["key_pepper"])
    found["key_pepper"] = secrets.new_token()
    _write(found)
    return (
        f"The pepper of API keys is new. {ApiKey.objects.active().count()} keys go on: each is "
        "stored with the new pepper when it is next used. What is left with the old one then ends "
        "with `manage.py forget_old_secret key_pepper`. Visitors of public chat pages are counted "
        "afresh."
    )


def _forget_key_pepper() -> str:
    ending = ApiKey.objects.active().exclude(pepper_id=pepper_id()).order_by("pk")
    named = "".join(f"\n  {key} “{key.name}” of {key.team}" for key in ending)
    what_ends = f" These API keys then end:{named or ' none.'}"
    _require_file("key_pepper_fallbacks", "Take it out there.", what_ends)
    found = secrets.read_secrets(settings.DATA_DIR)
    if not found["key_pepper_fallbacks"]:
        return "There is no old pepper to forget."
    found["key_pepper_fallbacks"] = []
    _write(found)
    if not named:
        return "Old peppers are forgotten. Every API key has been used since and goes on."
    return f"Old peppers are forgotten. These API keys were not used since and ended:{named}"


def _rotate_field_keys() -> str:
    """With keys of the environment only the texts are encrypted again."""
    by_environment = secrets.is_set_by_environment("field_keys")
    found = secrets.read_secrets(settings.DATA_DIR)
    keys = [*settings.FIELD_KEYS]
    if by_environment and len(keys) < 2:
        raise SetByEnvironment(
            "FIELD_KEYS is set by the environment. Put a new key before the old one, with a comma "
            "between them, and run this again; docs/secrets.md says how to make one."
        )
    if not by_environment:
        keys = found["field_keys"] = [secrets.new_field_key(), *found["field_keys"]]
        _write(found)  # whatever happens, each text can be read
    again, unreadable = _encrypt_again(keys)
    if not by_environment:
        found["field_keys"] = keys[:1]
        _write(found)
    said = f"{again} stored tokens are encrypted with the new key, and work as before."
    if by_environment:
        said += " Now take the old keys out of FIELD_KEYS, on every host."
    if unreadable:
        said += f" {unreadable} could not be read with any key and were left: enter them again."
    return said


def _rotate_engine_secret() -> str:
    _require_file("engine_secret", "Put a new one there.")
    found = secrets.read_secrets(settings.DATA_DIR)
    found["engine_secret"] = secrets.new_token()
    _write(found)
    return "The secret between the web, the workers and the engine is new."


ROTATIONS: dict[str, Callable[[], str]] = {
    "secret_key": _rotate_secret_key,
    "field_keys": _rotate_field_keys,
    "key_pepper": _rotate_key_pepper,
    "engine_secret": _rotate_engine_secret,
}
FORGETTING: dict[str, Callable[[], str]] = {
    "secret_key": _forget_secret_key,
    "key_pepper": _forget_key_pepper,
}


def _write(found: secrets.Secrets) -> None:
    secrets.write_secrets(settings.DATA_DIR, found)
    shared_secrets.note(secrets.load_secrets(settings.DATA_DIR))


def _require_file(name: str, what_to_do: str, what_ends: str = "") -> None:
    """Raises SetByEnvironment if the environment sets the secret."""
    if secrets.is_set_by_environment(name):
        raise SetByEnvironment(
            f"{name.upper()} is set by the environment. {what_to_do} Do so on every host, then "
            f"start them again.{what_ends}"
        )


@transaction.atomic
def _encrypt_again(keys: list[str]) -> tuple[int, int]:
    """How many encrypted texts there are now, and how many no key can read."""
    again = unreadable = 0
    for app, name, field in ENCRYPTED:
        if app not in apps.app_configs:
            continue
        model: type[models.Model] = apps.get_model(app, name)
        for row in model._default_manager.all():
            texts = Texts(keys)
            changed = texts.encrypted_again(getattr(row, field))
            if texts.again:
                model._default_manager.filter(pk=row.pk).update(**{field: changed})
            again += texts.again
            unreadable += texts.unreadable
    return again, unreadable


class Texts:
    """Encrypts the texts of one value again, and counts them."""

    def __init__(self, keys: list[str]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self.again = 0
        self.unreadable = 0

    def encrypted_again(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.encrypted_again(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self.encrypted_again(one) for one in value]
        if not isinstance(value, str) or not value.startswith(FERNET_START):
            return value
        try:
            changed = self._fernet.rotate(value.encode()).decode()
        except InvalidToken:
            self.unreadable += 1
            return value
        self.again += 1
        return changed

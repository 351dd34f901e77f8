"""Training platforms, each a module on the platform's official client, loaded when it is used."""

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from cryptography.fernet import InvalidToken
from django.conf import settings
from django.utils.translation import gettext as _

from finetune_app.core.encryption import decrypt
from finetune_app.core.errors import PlainError
from finetune_app.remote_training.models import PlatformAccount
from finetune_app.remote_training.platform_kinds import (
    BY_NAME,
    FIREWORKS,
    OPENAI,
    TOGETHER,
    VERTEX,
    PlatformKind,
)
from finetune_app.remote_training.platforms.contract import Platform

CLASSES = {  # in the module of that name
    FIREWORKS: "FireworksPlatform",
    OPENAI: "OpenAIPlatform",
    TOGETHER: "TogetherPlatform",
    VERTEX: "VertexPlatform",
}


def connect(platform: str, url: str, key: str, options: Mapping[str, str]) -> Platform:
    """options: what this platform needs beside its address and key.

    Raises PlainError where the platform's client is not installed.
    """
    try:
        module = import_module(f"finetune_app.remote_training.platforms.{platform}")
    except ImportError:
        raise PlainError(missing_client(BY_NAME[platform])) from None
    made = getattr(module, CLASSES[platform])
    return cast(Platform, made(url, key, allowed=settings.ENDPOINTS_ALLOWED, **options))


def missing_client(kind: PlatformKind) -> str:
    return _(
        "Training there needs the client of %(platform)s. Whoever runs Finetune installs it in its "
        "folder: .venv/bin/pip install '.[%(extra)s]', then starts it again."
    ) % {"platform": kind.label, "extra": kind.extra}


def platform_of(account: PlatformAccount) -> Platform:
    """Raises PlainError where the key cannot be decrypted any more."""
    try:
        key = decrypt(account.secret)
    except InvalidToken:
        raise PlainError(
            _("The key of %(name)s cannot be read any more. Ask an owner to enter it again.")
            % {"name": account.name}
        ) from None
    return connect(account.platform, account.url, key, account.options)

"""Training platforms, each a module on the platform's official client, loaded when it is used."""

import httpx
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.utils.translation import gettext as _

from finetune_app.core.encryption import decrypt
from finetune_app.core.errors import PlainError
from finetune_app.providers import guard
from finetune_app.remote_training.models import PlatformAccount
from finetune_app.remote_training.platforms.contract import Platform

MISSING_CLIENT = (
    "Training elsewhere needs OpenAI's client. Whoever runs Finetune installs it in its folder: "
    ".venv/bin/pip install '.[platforms]', then starts it again."
)


def connect(url: str, key: str) -> Platform:
    """Raises PlainError where the platform's client is not installed."""
    try:
        from finetune_app.remote_training.platforms.openai import OpenAIPlatform
    except ImportError:
        raise PlainError(MISSING_CLIENT) from None
    place = guard.host_and_port(httpx.URL(url))
    return OpenAIPlatform(url, key, private=place in settings.ENDPOINTS_ALLOWED)


def platform_of(account: PlatformAccount) -> Platform:
    """Raises PlainError where the key cannot be decrypted any more."""
    try:
        return connect(account.url, decrypt(account.secret))
    except InvalidToken:
        raise PlainError(
            _("The key of %(name)s cannot be read any more. Ask an owner to enter it again.")
            % {"name": account.name}
        ) from None

"""Passwords for management commands: from the environment, the terminal, or generated."""

import os
import secrets
import sys
from getpass import getpass

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from finetune_app.accounts.models import User


def ask_password(user: User) -> tuple[str, bool]:
    """Return (password, made_up). FINETUNE_PASSWORD wins; without a terminal one is generated.

    Never taken from an argument, which every user of the machine can read.
    """
    given = os.environ.get("FINETUNE_PASSWORD", "")
    if not given and sys.stdin.isatty():
        given = getpass("Password (leave empty to have one made up): ")
        if given and getpass("Once more: ") != given:
            raise CommandError("The two passwords differ. Nothing was changed.")
    if not given:
        return secrets.token_urlsafe(12), True
    try:
        validate_password(given, user)
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    return given, False

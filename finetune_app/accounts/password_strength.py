"""Validators of passwords: their length, and how easily they are guessed."""

from django.contrib.auth.password_validation import MinimumLengthValidator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User

MIN_CHARACTERS = 10
MIN_GUESSES = 10**9
MAX_CHARACTERS = 72  # that are looked at; the time grows with the square
KNOWN_WORDS = ("finetune",)


class LengthValidator(MinimumLengthValidator):
    def __init__(self) -> None:
        super().__init__(MIN_CHARACTERS)


class GuessablePasswordValidator:
    """Rejects what a dictionary, dates and keyboard rows lead to: "Summer2026!", names twice."""

    def validate(self, password: str, user: User | None = None) -> None:
        from zxcvbn import zxcvbn  # slow to import: it loads its dictionaries

        own = [user.name, *user.email.replace("@", ".").split(".")] if user else []
        found = zxcvbn(password[:MAX_CHARACTERS], user_inputs=[*KNOWN_WORDS, *own])
        if found["guesses"] < MIN_GUESSES:
            raise ValidationError(
                _("This password is easy to guess. Four ordinary words make a good one."),
                code="password_guessable",
            )

    def get_help_text(self) -> str:
        return str(_("A password must not be easy to guess."))

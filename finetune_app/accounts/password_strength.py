"""A password validator that counts the guesses of somebody who knows how people choose them."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User

MIN_GUESSES = 10**9
MAX_CHARACTERS = 72  # that are looked at; the time grows with the square
KNOWN_WORDS = ("finetune",)


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

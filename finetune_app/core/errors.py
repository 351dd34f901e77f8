"""Errors that a user can act on, as opposed to bugs."""

from django.utils.translation import gettext as _


class PlainError(Exception):
    """An error that the user can fix. `message` says what happened, why, and what to do."""

    def __init__(self, message: str, *, status: int = 400, title: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.title = title or _("That did not work")

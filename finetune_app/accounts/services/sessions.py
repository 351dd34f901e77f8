"""The sessions of an account: where it is signed in, since when, and ending them."""

import time
from dataclasses import dataclass
from datetime import datetime

from allauth.usersessions.models import UserSession
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.accounts.requests import HttpRequest

SEEN_KEY = "seen"  # session key: [the session's own key, when its use was last noted]
SEEN_RESOLUTION = 10 * 60  # seconds; the last use is noted at most once in this time

# How a browser and a system name themselves; the first that fits, since each also names others.
BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "Firefox/": "Firefox",
    "FxiOS": "Firefox",
    "Chrome/": "Chrome",
    "CriOS": "Chrome",
    "Safari/": "Safari",
}
SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Windows": "Windows",
    "Mac OS": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


@dataclass(frozen=True)
class SessionEntry:
    """One line of the list."""

    pk: int
    device: str  # "Firefox on Linux"
    address: str
    signed_in_at: datetime
    seen_at: datetime
    is_current: bool


def note_use(request: HttpRequest) -> None:
    """Note that the request's session is in use, from which address and browser."""
    key, seen_at = request.session.get(SEEN_KEY, ["", 0.0])
    if key == request.session.session_key and time.time() - seen_at < SEEN_RESOLUTION:
        return
    UserSession.objects.create_from_request(request)
    request.session[SEEN_KEY] = [request.session.session_key, time.time()]


def list_sessions(user: User, current_key: str | None) -> list[SessionEntry]:
    """The current session first, then by last use. Rows of sessions that are over are deleted."""
    rows = UserSession.objects.purge_and_list(user)
    entries = [
        SessionEntry(
            pk=row.pk,
            device=_device(row.user_agent),
            address=row.ip,
            signed_in_at=row.created_at,
            seen_at=row.last_seen_at,
            is_current=row.session_key == current_key,
        )
        for row in rows
    ]
    return sorted(entries, key=lambda one: (one.is_current, one.seen_at), reverse=True)


def end_session(session: UserSession) -> None:
    session.end()


def end_other_sessions(user: User, current_key: str | None) -> int:
    """End all sessions of the user but the current one; returns how many."""
    others = UserSession.objects.filter(user=user).exclude(session_key=current_key)
    for session in others:
        session.end()
    return len(others)


def _device(user_agent: str) -> str:
    browser, system = _first_named(BROWSERS, user_agent), _first_named(SYSTEMS, user_agent)
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("Another program")


def _first_named(names: dict[str, str], user_agent: str) -> str:
    return next((name for mark, name in names.items() if mark in user_agent), "")

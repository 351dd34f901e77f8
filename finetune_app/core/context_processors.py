"""Template context of every page."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

THEMES = ("light", "dark")


def page(request: HttpRequest) -> dict[str, Any]:
    theme = request.COOKIES.get("theme", "")
    user = getattr(request, "user", None)
    signed_in = bool(user and user.is_authenticated)
    return {
        "theme": theme if theme in THEMES else "",
        "team": getattr(request, "team", None),
        "teams": getattr(request, "teams", []) if signed_in else [],
        "membership": getattr(request, "membership", None),
        "only_this_computer": settings.ONLY_THIS_COMPUTER,
        "public_url": settings.PUBLIC_URL,
    }

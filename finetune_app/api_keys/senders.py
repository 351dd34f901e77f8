"""Who may send a large body: somebody signed in, or a valid API key.

Asked before the body is read (core/body_limit.py), and so before Django's middleware.
"""

from http.cookies import CookieError, SimpleCookie
from importlib import import_module

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY

from finetune_app.api_keys.services import authenticate
from finetune_app.core import connections
from finetune_app.core.asgi_types import Scope


async def is_known_sender(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    key = _bearer_token(headers.get(b"authorization", b"").decode("latin-1"))
    session = _session_key(headers.get(b"cookie", b"").decode("latin-1"))
    if not (key or session) or not (key + session).isprintable():  # no database searches a NUL
        return False
    return await sync_to_async(_is_known, thread_sensitive=False)(key, session)


def _is_known(key: str, session: str) -> bool:
    try:
        if key and authenticate(key):
            return True
        store = import_module(settings.SESSION_ENGINE).SessionStore
        return bool(session) and SESSION_KEY in store(session)
    finally:
        connections.give_back()  # no request has begun whose end would do so


def _bearer_token(authorization: str) -> str:
    scheme, _space, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _session_key(cookies: str) -> str:
    try:
        found = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return ""
    return found.value if found else ""

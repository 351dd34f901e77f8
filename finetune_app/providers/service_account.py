"""Keys of Google Cloud service accounts, and the short-lived tokens that they are exchanged for.

A key names the address to which it is sent for a token: it is stored only with Google's own.
Uses no settings and no database, since the workers' child processes use it too.
"""

import hashlib
import json
import re
import time
from typing import Any

import jwt

TOKEN_ADDRESS = "https://oauth2.googleapis.com/token"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
FIELDS = ("type", "private_key_id", "private_key", "client_email", "token_uri")
EMAIL = re.compile(r"[a-zA-Z0-9._-]+@[a-zA-Z0-9.-]+")
TOKEN_SECONDS = 3600
SPARE_SECONDS = 300.0  # a token is not used for its last minutes
MAX_TOKENS_KEPT = 100

_tokens: dict[str, tuple[str, float]] = {}  # by the hash of the key: token, and until when


class KeyRefused(Exception):
    """Google gives no token for the key, or answers with something else."""


def read_key(text: str, *, token_address: str = "") -> str:
    """The fields of a key file that are needed, as JSON. Raises ValueError that says what to do."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or given.get("type") != "service_account":
        raise ValueError(
            "This is not the key of a service account. Paste the whole JSON file that Google "
            "Cloud gave you for it."
        )
    found = {name: given.get(name) for name in FIELDS}
    if not all(isinstance(value, str) and value for value in found.values()):
        raise ValueError("The file of the key is not complete. Paste all of it.")
    if found["token_uri"] != (token_address or TOKEN_ADDRESS):
        raise ValueError("This key is not from Google Cloud: it names another address for tokens.")
    if not EMAIL.fullmatch(str(found["client_email"])):
        raise ValueError("The file of the key names no service account.")
    key = json.dumps(found)
    try:
        token_form(key)
    except (ValueError, TypeError, jwt.PyJWTError):
        raise ValueError(
            "The private key in the file cannot be read. Create a new one and paste it."
        ) from None
    return key


def token_form(key: str) -> tuple[str, dict[str, str]]:
    """Where a token is asked for, and the fields that ask for it."""
    known: dict[str, str] = json.loads(key)
    now = int(time.time())
    claims = {
        "iss": known["client_email"],
        "scope": SCOPE,
        "aud": known["token_uri"],
        "iat": now,
        "exp": now + TOKEN_SECONDS,
    }
    headers = {"kid": known["private_key_id"]}
    signed = jwt.encode(claims, known["private_key"], algorithm="RS256", headers=headers)
    return known["token_uri"], {"grant_type": GRANT, "assertion": signed}


def read_token(key: str, status: int, body: Any) -> str:
    """The token of an answer, which is kept while it is good. Raises KeyRefused."""
    token = body.get("access_token") if isinstance(body, dict) else None
    if status != 200 or not (isinstance(token, str) and token.isascii() and token.isprintable()):
        raise KeyRefused("Google does not accept the key any more.")
    seconds = body.get("expires_in")
    good_for = float(seconds) if isinstance(seconds, int) else 0.0
    while len(_tokens) >= MAX_TOKENS_KEPT:
        _tokens.pop(next(iter(_tokens)))
    _tokens[_digest(key)] = token, time.time() + min(good_for, TOKEN_SECONDS) - SPARE_SECONDS
    return token


def known_token(key: str) -> str | None:
    token, until = _tokens.get(_digest(key), ("", 0.0))
    return token if time.time() < until else None


def forget_token(key: str) -> None:
    _tokens.pop(_digest(key), None)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()

"""What went wrong with a request to a remote model, said for people and without the key.

Uses no settings and no database, since the workers' child processes use it too.
"""

import re

import httpx

from finetune_app.providers import gemini, service_account
from finetune_app.providers.target import Options, RemoteError, Target

# Some platforms reject a key or an empty account with 400, and a question with 403.
ABOUT_ACCOUNT = re.compile(r"api[ _-]?key|credit|billing|quota|payment", re.IGNORECASE)
ABOUT_CONTENT = re.compile(r"moderation|flagged|content[ _-](policy|filter)", re.IGNORECASE)
REJECTED_QUESTION = (400, 413, 422)
OUT_OF_CREDIT = "insufficient_quota"  # OpenAI's code; a quota can also be one of requests a minute


def status_error(
    response: httpx.Response, message: str, target: Target, options: Options, code: str = ""
) -> RemoteError:
    """message, code: the platform's own; options: those that were sent."""
    status, host = response.status_code, target.host
    if 300 <= status < 400:
        return RemoteError(
            f"{host} redirects to another address, which Finetune does not follow. Add the "
            "address it redirects to instead."
        )
    rejects_content = status == 403 and bool(ABOUT_CONTENT.search(message))
    if status in (401, 403) and not rejects_content:
        service_account.forget_token(target.key)
        return RemoteError(f"{host} did not accept the key. Ask an owner to enter it again.")
    if status == 402 or (status == 429 and code == OUT_OF_CREDIT):
        return RemoteError(f"{host} says that the account has no credit left.")
    if status == 404:
        return RemoteError(
            f"{host} does not know the model “{target.model}” at this address. Check both: the "
            "address ends before /chat/completions."
        )
    if status == 429:
        return RemoteError(
            f"{host} is busy, or the account's limit is reached. Try again in a while.",
            retry_after=_seconds(response.headers.get("retry-after")),
        )
    if status >= 500:
        return RemoteError(
            f"{host} has an error of its own ({status}){_said(message, target)}. "
            "Try again in a while.",
            retry_after=_seconds(response.headers.get("retry-after")),
            about_question=None,
        )
    rejects_question = status in REJECTED_QUESTION and not ABOUT_ACCOUNT.search(message)
    return RemoteError(
        f"{host} did not accept the question ({status}): {platform_message(message, target)}",
        param=_named_option(message, options),
        about_question=rejects_question or rejects_content,
    )


def connection_error(problem: Exception, target: Target) -> RemoteError:
    if isinstance(problem, httpx.TimeoutException | TimeoutError):
        return RemoteError(
            f"{target.host} did not answer in time. Try again in a while.",
            retry_after=5,
            about_question=None,
        )
    if "CERTIFICATE" in str(problem).upper():
        return RemoteError(f"{target.host} has no certificate that this machine trusts.")
    if isinstance(problem, httpx.ConnectError):
        return RemoteError(
            f"{target.host} cannot be reached. Check the address, and that this machine has a "
            "network.",
            retry_after=5,
        )
    return RemoteError(
        f"The connection to {target.host} broke. Try again.", retry_after=5, about_question=None
    )


def platform_message(message: str, target: Target) -> str:
    """The platform's message: one line, shortened, with the key removed."""
    if target.key:
        message = message.replace(target.key, "…")
    message = " ".join("".join(c if c.isprintable() else " " for c in message).split())
    return message if len(message) <= 200 else message[:199] + "…"


def _said(message: str, target: Target) -> str:
    """“: ” and the platform's message. A proxy in front of it says an HTML page, which says no
    more than its status."""
    said = platform_message(message, target).rstrip(".")
    return f": {said}" if said and not said.startswith("<") else ""


def _seconds(text: str | None) -> float:
    return min(float(text), 600.0) if text and text.strip().isdigit() else 5.0


def _named_option(message: str, options: Options) -> str:
    """The first option that the error message names, by its name in either format; or ""."""
    names = {name: f"{name}|{gemini.OPTION_NAMES[name]}" for name in options}
    return next((name for name in names if re.search(rf"\b({names[name]})\b", message)), "")

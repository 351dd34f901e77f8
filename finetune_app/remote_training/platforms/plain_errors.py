"""Errors of the official clients in plain words.

OpenAI, Together and Fireworks generate their clients with the same tool (Stainless), so that their
exceptions have the same names.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from finetune_app.providers import guard
from finetune_app.providers.errors import OUT_OF_CREDIT
from finetune_app.remote_training.platforms.answers import one_line
from finetune_app.remote_training.platforms.contract import PlatformError, UnknownJob

RETRY_SECONDS = 30.0
MAX_RETRY_SECONDS = 3600.0
WRONG_FORMAT = (ValueError, AttributeError, TypeError, KeyError, RecursionError)


class PlainErrors:
    """library: the client's module, base: its first exception, network: what its HTTP library
    raises. whose: the platform in the genitive, such as "OpenAI's"."""

    def __init__(
        self,
        library: Any,
        base: type[Exception],
        network: type[Exception],
        *,
        host: str,
        key: str,
        whose: str,
    ) -> None:
        self.library, self.base, self.network = library, base, network
        self.host, self.key, self.whose = host, key, whose

    @contextmanager
    def __call__(self) -> Iterator[None]:
        try:
            yield
        except self.library.APIStatusError as problem:
            raise self.refusal(problem) from None
        except self.library.APIConnectionError as problem:
            # Some of the clients wrap what our transport raises.
            raise self.no_answer(problem.__cause__ or problem) from None
        except (self.network, self.base, *WRONG_FORMAT) as problem:
            raise self.no_answer(problem) from None

    def no_answer(self, problem: BaseException) -> PlatformError:
        if isinstance(problem, guard.NotAllowed):
            return PlatformError(str(problem))
        if isinstance(problem, (self.library.APIConnectionError, self.network)):
            return PlatformError(
                f"{self.host} cannot be reached just now.", retry_after=RETRY_SECONDS
            )
        # An answer that is not what the client reads: perhaps a proxy's page.
        return PlatformError(
            f"{self.host} answered with something that is not {self.whose} format.",
            retry_after=RETRY_SECONDS,
        )

    def refusal(self, problem: Any) -> PlatformError:
        """problem: an APIStatusError of the client."""
        wait = problem.response.headers.get("retry-after", "")
        body = problem.body if isinstance(problem.body, dict) else {}
        error = body["error"] if isinstance(body.get("error"), dict) else body
        said = one_line(error.get("message") or problem.message, self.key)
        if problem.status_code == 429 and OUT_OF_CREDIT in (error.get("code"), error.get("type")):
            return no_credit(self.host, said)
        return refusal(self.host, problem.status_code, said, wait)


def no_credit(host: str, said: str) -> PlatformError:
    return PlatformError(f"The account at {host} has no credit left: {said}")


def refusal(host: str, status: int, said: str, retry_after: str) -> PlatformError:
    """What an HTTP status means. said: the platform's own words, as `one_line` leaves them.
    retry_after: of the header, ""."""
    if 300 <= status < 400:
        return PlatformError(
            f"{host} redirects to another address, which Finetune does not follow. "
            "Connect an account with the address it redirects to instead."
        )
    if status in (401, 403):
        return PlatformError(
            f"{host} does not accept the key, or it may not train: {said} Ask an owner "
            "to enter another."
        )
    if status == 404:
        return UnknownJob(f"{host} does not know it: {said}")
    if status == 402:
        return no_credit(host, said)
    if status in (408, 409, 429) or status >= 500:
        seconds = float(retry_after) if retry_after.isdecimal() else RETRY_SECONDS
        return PlatformError(
            f"{host} is busy, or has an error of its own ({status}).",
            retry_after=min(seconds, MAX_RETRY_SECONDS),
        )
    return PlatformError(f"{host} refused it: {said}")

"""What a request to a remote model needs, and what goes wrong with one.

Uses no settings and no database, since the workers' child processes use it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

import httpx

from finetune_app.providers import guard


class RemoteError(Exception):
    """The remote model did not answer. The message is for the user, without the key.

    `param`: the option that it does not take, by its name in Options; or "". `about_question`:
    whether this question is at fault, and not the key, the account, the network or the platform;
    None where one error does not tell, as the platform's own or an answer that does not come.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        param: str = "",
        about_question: bool | None = False,
    ) -> None:
        super().__init__(message)
        self.message, self.param, self.about_question = message, param, about_question
        self.retry_after = retry_after  # seconds; None if a retry would not help


class Options(TypedDict, total=False):
    """How an answer is written, by OpenAI's names. What is missing is up to the platform."""

    max_tokens: int
    temperature: float
    top_p: float
    stop: list[str]
    seed: int


def sampling_options(sampling: Mapping[str, Any]) -> Options:
    """How a candidate's answers are drawn, as a platform is asked for it."""
    found: Options = {"temperature": sampling.get("temperature", 0.0)}
    if "top_p" in sampling:
        found["top_p"] = sampling["top_p"]
    return found


class TargetSpec(TypedDict):
    """A Target as JSON."""

    url: str
    model: str
    key: str
    private: bool
    api: str


@dataclass(frozen=True)
class Target:
    """Everything a request needs: for a child's standard input, never for the database.

    `private`: the host is listed in ENDPOINTS_ALLOWED. `api`: the format that it speaks; with
    "gemini" the key is that of a service account, and the model a whole name.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    private: bool = False
    api: str = "openai"

    def to_json(self) -> TargetSpec:
        return {
            "url": self.url,
            "model": self.model,
            "key": self.key,
            "private": self.private,
            "api": self.api,
        }

    @classmethod
    def from_json(cls, spec: TargetSpec) -> Target:
        return cls(**spec)

    @property
    def host(self) -> str:
        return guard.host_of(httpx.URL(self.url))

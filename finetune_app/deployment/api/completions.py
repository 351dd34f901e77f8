"""POST /v1/completions, OpenAI's older format: a text is gone on with as it stands.

No chat template and no instructions come into it, so it asks a model alone: one that answers with
instructions, examples or documents is refused here.
"""

from typing import Any

from django.http import HttpRequest, HttpResponseBase

from finetune_app.deployment.api.access import api
from finetune_app.deployment.api.chat import Call
from finetune_app.deployment.api.schemas import (
    MOST_CHARACTERS,
    MOST_CHOICES,
    Logprob,
    Reply,
    TextAsked,
    common,
    event,
    model_named,
    number,
    read_json,
    sampling_of,
    wrong,
)
from finetune_app.deployment.models import ApiKey

USUAL_TOKENS = 16  # what OpenAI's own endpoint writes when nothing is said
MOST_LOGPROBS = 5
NOT_DONE = ("echo", "suffix", "logit_bias")


@api("POST", action="chat")
async def completions(request: HttpRequest, key: ApiKey) -> HttpResponseBase:
    asked = read(request.body)
    reply = TextReply(asked.model, asked.n, prompts=len(asked.turns), logprobs=asked.logprobs)
    return await Call(key, asked, reply).response()


def read(body: bytes) -> TextAsked:
    """Raises ApiError for whatever cannot be read or would be ignored to the asker's harm."""
    given = read_json(body)
    for name in NOT_DONE:
        if given.get(name):
            raise wrong(f"“{name}” is not supported here. Leave it out.", name)
    model, prompts = model_named(given), _prompts(given.get("prompt"))
    asked = common(given, prompts[0])
    if number(given, "best_of", asked["n"], 1, 20) != asked["n"]:
        raise wrong("“best_of” is not supported here. Leave it out.", "best_of")
    if len(prompts) * asked["n"] > MOST_CHOICES:
        raise wrong(f"Ask for at most {MOST_CHOICES} texts at once, “n” times the prompts.", "n")
    sampling = sampling_of(given, USUAL_TOKENS)
    if given.get("logprobs") not in (None, False):
        sampling["top_logprobs"] = int(number(given, "logprobs", 0, 0, MOST_LOGPROBS))
    return TextAsked(
        model=model,
        turns=[([{"role": "user", "content": one}], {"prompt": one}) for one in prompts],
        sampling=sampling,
        as_it_stands=True,
        said_in="prompt",
        **asked,
    )


def _prompts(given: Any) -> list[str]:
    prompts = given if isinstance(given, list) else [given]
    if any(isinstance(one, int | list) for one in prompts):
        raise wrong("“prompt” must be text; token ids are not understood here.", "prompt")
    if not prompts or not all(isinstance(one, str) and one for one in prompts):
        raise wrong("“prompt” must be a text, or a list of texts, none of them empty.", "prompt")
    if sum(map(len, prompts)) > MOST_CHARACTERS:
        raise wrong(
            f"The prompts are longer than {MOST_CHARACTERS:,} characters.",
            "prompt",
            code="context_length_exceeded",
        )
    return [one.encode(errors="replace").decode() for one in prompts]


class TextReply(Reply):
    KIND = CHUNK = "text_completion"
    ID = "cmpl"

    def whole(self) -> dict[str, Any]:
        choices = [
            self._choice(at, one.text, _told(one.logprobs), one.finish_reason or "stop")
            for at, one in enumerate(self.choices)
        ]
        return self._head(self.KIND) | {"choices": choices, "usage": self.usage}

    def beginning(self) -> list[bytes]:
        return []

    def piece(self, at: int, text: str, logprobs: list[Logprob] | None = None) -> bytes:
        # The choice has these entries already: theirs begin after those of earlier pieces.
        before = self.choices[at].logprobs or []
        start = _length(before[: len(before) - len(logprobs or [])])
        return self._event(self._choice(at, text, _told(logprobs, start), None))

    def last(self, at: int) -> bytes:
        return self._event(self._choice(at, "", None, self.choices[at].finish_reason or "stop"))

    def _choice(
        self, at: int, text: str, told: dict[str, Any] | None, finish_reason: str | None
    ) -> dict[str, Any]:
        return {"index": at, "text": text, "logprobs": told, "finish_reason": finish_reason}

    def _event(self, choice: dict[str, Any]) -> bytes:
        return event(self._head(self.CHUNK) | {"choices": [choice]})


def _told(entries: list[Logprob] | None, start: int = 0) -> dict[str, Any] | None:
    """In the older format: lists side by side. `start`: characters of the answer before them."""
    if entries is None:
        return None
    return {
        "tokens": [one["token"] for one in entries],
        "token_logprobs": [one["logprob"] for one in entries],
        "top_logprobs": [
            {other["token"]: other["logprob"] for other in one["top_logprobs"]} for one in entries
        ],
        "text_offset": [start + _length(entries[:at]) for at in range(len(entries))],
    }


def _length(entries: list[Logprob]) -> int:
    """Characters; several tokens may make one of them."""
    return len(bytes(b for one in entries for b in one["bytes"]).decode(errors="replace"))

"""OpenAI's older format, /v1/completions: the model continues the given text.

It uses neither a chat template nor instructions, so a candidate that has instructions, few-shot
examples or documents cannot be used this way.
"""

from typing import Any, TypedDict

from finetune_app.core.engine_protocol import MAX_ANSWERS, TokenLogprob
from finetune_app.gateway.errors import invalid_request
from finetune_app.gateway.json_body import (
    JsonObject,
    model_field,
    number_field,
    read_json_object,
)
from finetune_app.gateway.responses import ChatResponse, server_sent_event
from finetune_app.gateway.schemas import (
    MAX_CHARACTERS,
    Prompt,
    TextRequest,
    common_options,
    sampling_options,
)

DEFAULT_NEW_TOKENS = 16  # as OpenAI's own endpoint
MAX_LOGPROBS = 5
UNSUPPORTED = ("echo", "suffix", "logit_bias")


def parse_completion_request(body: bytes) -> TextRequest:
    """Raises ApiError if something cannot be read, or would be ignored to the caller's harm."""
    given = read_json_object(body)
    for name in UNSUPPORTED:
        if given.get(name):
            raise invalid_request(f"“{name}” is not supported here. Leave it out.", name)
    model, texts = model_field(given), _prompt_texts(given.get("prompt"))
    options = common_options(given, texts[0])
    if number_field(given, "best_of", options.n, 1, 20) != options.n:
        raise invalid_request("“best_of” is not supported here. Leave it out.", "best_of")
    if len(texts) * options.n > MAX_ANSWERS:
        raise invalid_request(
            f"Ask for at most {MAX_ANSWERS} texts at once, “n” times the prompts.", "n"
        )
    sampling = sampling_options(given)
    logprobs = given.get("logprobs")
    if logprobs is not None and logprobs is not False:  # 0 asks for those of the tokens alone
        sampling["top_logprobs"] = int(number_field(given, "logprobs", 0, 0, MAX_LOGPROBS))
    prompts = [Prompt([{"role": "user", "content": text}], raw_text=text) for text in texts]
    return TextRequest(model, prompts, sampling, options, "prompt", DEFAULT_NEW_TOKENS)


def _prompt_texts(given: Any) -> list[str]:
    texts = given if isinstance(given, list) else [given]
    if any(isinstance(one, int | list) for one in texts):
        raise invalid_request("“prompt” must be text; token ids are not understood here.", "prompt")
    if not texts or not all(isinstance(one, str) and one for one in texts):
        raise invalid_request(
            "“prompt” must be a text, or a list of texts, none of them empty.", "prompt"
        )
    if sum(map(len, texts)) > MAX_CHARACTERS:
        raise invalid_request(
            f"The prompts are longer than {MAX_CHARACTERS:,} characters.",
            "prompt",
            code="context_length_exceeded",
        )
    return texts


class CompletionLogprobs(TypedDict):
    """Parallel lists. `text_offset`: characters of the answer before each token."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(TypedDict):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: str | None


class CompletionResponse(ChatResponse):
    OBJECT = CHUNK_OBJECT = "text_completion"
    ID_PREFIX = "cmpl"

    def as_object(self) -> JsonObject:
        choices = [
            _choice(at, one.text, _logprobs(one.logprobs), one.finish_reason or "stop")
            for at, one in enumerate(self.choices)
        ]
        return self._head(self.OBJECT) | {"choices": choices, "usage": self.usage}

    def first_events(self) -> list[bytes]:
        return []

    def text_event(self, at: int, text: str, logprobs: list[TokenLogprob] | None = None) -> bytes:
        # The choice contains these entries already; those before them are of earlier events.
        before = self.choices[at].logprobs or []
        offset = _character_count(before[: len(before) - len(logprobs or [])])
        return self._event(_choice(at, text, _logprobs(logprobs, offset), None))

    def finish_event(self, at: int) -> bytes:
        return self._event(_choice(at, "", None, self.choices[at].finish_reason or "stop"))

    def _event(self, choice: CompletionChoice) -> bytes:
        return server_sent_event(self._head(self.CHUNK_OBJECT) | {"choices": [choice]})


def _choice(
    at: int, text: str, logprobs: CompletionLogprobs | None, finish_reason: str | None
) -> CompletionChoice:
    return {"index": at, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}


def _logprobs(entries: list[TokenLogprob] | None, offset: int = 0) -> CompletionLogprobs | None:
    """offset: characters of the answer before these entries."""
    if entries is None:
        return None
    return {
        "tokens": [one["token"] for one in entries],
        "token_logprobs": [one["logprob"] for one in entries],
        "top_logprobs": [
            {other["token"]: other["logprob"] for other in one["top_logprobs"]} for one in entries
        ],
        "text_offset": [offset + _character_count(entries[:at]) for at in range(len(entries))],
    }


def _character_count(entries: list[TokenLogprob]) -> int:
    """Counts decoded characters: one character may take several tokens."""
    return len(bytes(b for one in entries for b in one["bytes"]).decode(errors="replace"))

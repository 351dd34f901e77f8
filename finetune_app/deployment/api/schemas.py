"""OpenAI's chat format: what a request may say, and how answers are written down.

Source: OpenAI's API reference as the official client speaks it. What would change the result and
is not done here is refused by name; what changes nothing is let pass.
"""

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from finetune_app.core.engine_client import EngineUnavailable, Refused
from finetune_app.deployment.api.errors import ApiError

Message = dict[str, str]
Logprob = dict[str, Any]
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
MOST_MESSAGES = 500
MOST_CHARACTERS = 400_000
MOST_CHOICES = 8
MOST_TOKENS = 4_096
MOST_LOGPROBS = 20
MOST_SCHEMA = 64_000
USUAL_TOKENS = 1_024
PENALTIES = ("presence_penalty", "frequency_penalty")
NOT_DONE = (
    "tools",
    "functions",
    "logit_bias",
    "modalities",
    "audio",
    "prediction",
    "web_search_options",
)


@dataclass(frozen=True)
class TextAsked:
    """A request that can be answered. `sampling` holds only what it says itself.

    turns: what is asked, each `n` times: messages, and what the engine needs besides.
    as_it_stands: the text goes to the model without a chat template. said_in: its field's name.
    """

    model: str
    turns: list[tuple[list[Message], dict[str, Any]]]
    sampling: dict[str, Any]
    n: int = 1
    seed: int = 17
    stream: bool = False
    include_usage: bool = False
    asker: str = ""  # what tells one conversation from others: its user, or how it began
    as_it_stands: bool = False
    said_in: str = "messages"

    @property
    def messages(self) -> list[Message]:
        """Those of the first turn."""
        return self.turns[0][0]

    @property
    def logprobs(self) -> bool:
        return "top_logprobs" in self.sampling

    @property
    def only_here(self) -> str:
        """What is asked that only a model on this machine does; "" if nothing is."""
        asked = {"logprobs": "top_logprobs", "response_format": "schema"}
        asked |= {name: name for name in PENALTIES}
        return next((name for name, key in asked.items() if key in self.sampling), "")


def read_chat(body: bytes) -> TextAsked:
    """Raises ApiError for whatever cannot be read or would be ignored to the asker's harm."""
    given = read_json(body)
    for name in NOT_DONE:
        if given.get(name) and given[name] != ["text"]:  # modalities: what it is anyway
            raise wrong(f"“{name}” is not supported here. Leave it out.", name)
    model = model_named(given)
    messages = _messages(given.get("messages"))
    first = next(one["content"] for one in messages if one["role"] == "user")
    return TextAsked(
        model=model,
        turns=[(messages, {})],
        sampling=_chat_sampling(given),
        **common(given, first),
    )


def model_named(given: dict[str, Any]) -> str:
    model = given.get("model")
    if not isinstance(model, str) or not model:
        raise wrong("Say which model: “model” is missing.", "model")
    return model


def common(given: dict[str, Any], first: str) -> dict[str, Any]:
    """What is asked in the same way wherever a model writes text; `first`: how it began."""
    options = given.get("stream_options") or {}
    return {
        "n": int(number(given, "n", 1, 1, MOST_CHOICES)),
        "seed": int(number(given, "seed", 17, -(2**63), 2**63)) % 2**31,
        "stream": given.get("stream") is True,
        "include_usage": isinstance(options, dict) and options.get("include_usage") is True,
        "asker": _asker(given, first),
    }


def _asker(given: dict[str, Any], first: str) -> str:
    """The “user” that a program names; else the first question, which stays in a conversation."""
    user = given.get("user")
    if isinstance(user, str) and user.strip():
        return f"user {user.strip()[:200]}"
    return f"began {first}"


def read_json(body: bytes) -> dict[str, Any]:
    try:
        given = storable(json.loads(body or b"null"))
    except (ValueError, RecursionError):
        raise wrong("The body is not valid JSON.") from None
    if not isinstance(given, dict):
        raise wrong("The body must be a JSON object.")
    return given


def storable(value: Any) -> Any:
    """The same without what no database keeps and no model reads: NUL, half a surrogate pair."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode(errors="replace").decode()
    if isinstance(value, list):
        return [storable(one) for one in value]
    if isinstance(value, dict):
        return {storable(name): storable(one) for name, one in value.items()}
    return value


def sampling_of(given: dict[str, Any], usual_tokens: int = USUAL_TOKENS) -> dict[str, Any]:
    """Only what is said: what is not said stays as the candidate was tested."""
    found: dict[str, Any] = {}
    if given.get("temperature") is not None:
        found["temperature"] = number(given, "temperature", 0.0, 0.0, 2.0)
    if given.get("top_p") is not None:
        found["top_p"] = max(number(given, "top_p", 1.0, 0.0, 1.0), 1e-6)
    for name in PENALTIES:
        if number(given, name, 0.0, -2.0, 2.0):
            found[name] = number(given, name, 0.0, -2.0, 2.0)
    name = "max_completion_tokens" if given.get("max_completion_tokens") else "max_tokens"
    found["max_new_tokens"] = int(number(given, name, usual_tokens, 1, MOST_TOKENS))
    stop = given.get("stop")
    if stop:
        stops = [stop] if isinstance(stop, str) else stop
        if (
            not isinstance(stops, list)
            or len(stops) > 4
            or not all(isinstance(one, str) and one for one in stops)
        ):
            raise wrong("“stop” is a text or a list of up to four texts.", "stop")
        found["stop"] = stops
    return found


def _chat_sampling(given: dict[str, Any]) -> dict[str, Any]:
    found = sampling_of(given)
    top = int(number(given, "top_logprobs", 0, 0, MOST_LOGPROBS))
    if given.get("logprobs") not in (None, False, True):
        raise wrong("“logprobs” is true or false.", "logprobs")
    if given.get("logprobs"):
        found["top_logprobs"] = top
    elif top:
        raise wrong("“top_logprobs” needs “logprobs” to be true.", "top_logprobs")
    schema = _schema(given.get("response_format"))
    if schema:
        found["schema"] = schema
    return found


def _schema(wanted: Any) -> str:
    """The JSON schema that the answer must fit, as text; "" where any text will do.

    `strict` makes no difference: a form that is asked for is kept to.
    """
    kind = wanted.get("type") if isinstance(wanted, dict) else wanted
    if kind in (None, "text"):
        return ""
    if kind == "json_object":
        return '{"type": "object"}'
    told = wanted.get("json_schema") if kind == "json_schema" else None
    schema = told.get("schema") if isinstance(told, dict) else None
    if not isinstance(schema, dict):
        raise wrong(
            "“response_format” is {“type”: “text”}, {“type”: “json_object”}, or {“type”: "
            "“json_schema”, “json_schema”: {“name”: …, “schema”: {…}}}.",
            "response_format",
        )
    try:
        text = json.dumps(schema)
    except RecursionError:
        raise wrong("The schema is nested too deeply.", "response_format") from None
    if len(text) > MOST_SCHEMA:
        raise wrong(f"The schema is longer than {MOST_SCHEMA:,} characters.", "response_format")
    return text


def _messages(given: Any) -> list[Message]:
    if not isinstance(given, list) or not given:
        raise wrong("“messages” must be a list with at least one message.", "messages")
    if len(given) > MOST_MESSAGES:
        raise wrong(f"“messages” may have at most {MOST_MESSAGES} entries.", "messages")
    messages = [_message(item, f"messages[{at}]") for at, item in enumerate(given)]
    if sum(len(message["content"]) for message in messages) > MOST_CHARACTERS:
        raise wrong(
            f"The messages are longer than {MOST_CHARACTERS:,} characters.",
            "messages",
            code="context_length_exceeded",
        )
    if messages[-1]["role"] != "user":
        raise wrong("The last message must be the user's: it is what is answered.", "messages")
    return messages


def _message(item: Any, where: str) -> Message:
    role = item.get("role") if isinstance(item, dict) else None
    if not isinstance(role, str) or role not in ROLES:
        raise wrong(f"{where}.role must be system, user or assistant.", f"{where}.role")
    return {"role": ROLES[role], "content": _text(item.get("content"), f"{where}.content")}


def _text(content: Any, where: str) -> str:
    """A string, or a list of parts of text. Half a surrogate pair cannot be sent on."""
    if isinstance(content, list):
        parts = [
            part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
            for part in content
        ]
        if all(isinstance(part, str) for part in parts):
            content = "".join(str(part) for part in parts)
    if not isinstance(content, str):
        raise wrong(f"{where} must be text; pictures and sound are not understood here.", where)
    return content.encode(errors="replace").decode()


def number(given: dict[str, Any], name: str, usual: float, least: float, most: float) -> float:
    value = given.get(name)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise wrong(f"“{name}” must be a number from {least:g} to {most:g}.", name)
    return value


def wrong(message: str, param: str | None = None, code: str = "") -> ApiError:
    return ApiError(400, message, param=param, code=code)


def unavailable(problem: EngineUnavailable) -> ApiError:
    """The engine's no, as the API says it: to blame is the request, the hour, or the engine."""
    if isinstance(problem, Refused):
        return ApiError(400, str(problem), param=problem.param)
    status = 429 if problem.retry_after else 503
    return ApiError(
        status,
        str(problem),
        code="engine_busy" if status == 429 else "engine_unavailable",
        retry_after=problem.retry_after or 10,
    )


# ---- Answers ----


@dataclass
class Choice:
    """One answer in the making."""

    text: str = ""
    finish_reason: str | None = None
    tokens: int = 0
    prompt_tokens: int = 0
    logprobs: list[Logprob] | None = None  # None: nobody asked


class Reply:
    """Writes down one reply to one request, whole or in chunks, under one id."""

    KIND, CHUNK, ID = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def __init__(self, model: str, n: int, *, prompts: int = 1, logprobs: bool = False) -> None:
        self.id = f"{self.ID}-{uuid.uuid4().hex}"
        self.created, self.model, self.n = int(time.time()), model, n
        self.choices = [Choice(logprobs=[] if logprobs else None) for _ in range(n * prompts)]

    @property
    def usage(self) -> dict[str, int]:
        """A prompt counts once, however many answers it got."""
        groups = [self.choices[at : at + self.n] for at in range(0, len(self.choices), self.n)]
        read = sum(max(choice.prompt_tokens for choice in group) for group in groups)
        written = sum(choice.tokens for choice in self.choices)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def whole(self) -> dict[str, Any]:
        choices = [
            {
                "index": at,
                "finish_reason": choice.finish_reason or "stop",
                "logprobs": _told(choice.logprobs),
                "message": {"role": "assistant", "content": choice.text, "refusal": None},
            }
            for at, choice in enumerate(self.choices)
        ]
        return self._head(self.KIND) | {"choices": choices, "usage": self.usage}

    def beginning(self) -> list[bytes]:
        """Chunks that come before any text: whose answer it is."""
        said = {"role": "assistant", "content": ""}
        return [self._chunk(at, said) for at in range(len(self.choices))]

    def piece(self, at: int, text: str, logprobs: list[Logprob] | None = None) -> bytes:
        return self._chunk(at, {"content": text}, logprobs=logprobs)

    def last(self, at: int) -> bytes:
        return self._chunk(at, {}, self.choices[at].finish_reason or "stop")

    def counted(self) -> bytes:
        """The chunk with the usage, which has no choices."""
        head = self._head(self.CHUNK)
        return event(head | {"choices": [], "usage": self.usage})

    def _chunk(
        self,
        at: int,
        delta: dict[str, str],
        finish_reason: str | None = None,
        logprobs: list[Logprob] | None = None,
    ) -> bytes:
        choice = {
            "index": at,
            "delta": delta,
            "logprobs": _told(logprobs),
            "finish_reason": finish_reason,
        }
        return event(self._head(self.CHUNK) | {"choices": [choice]})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def _told(logprobs: list[Logprob] | None) -> dict[str, Any] | None:
    return None if logprobs is None else {"content": logprobs, "refusal": None}


DONE = b"data: [DONE]\n\n"


def event(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content, ensure_ascii=False).encode() + b"\n\n"

"""Validates requests for text, after OpenAI's API reference.

A parameter that would change the answer and is not supported is refused by name; one that changes
nothing is ignored (docs/decisions/0021-openai-compatible-api.md).
"""

import json
from dataclasses import dataclass, field
from typing import Any, TypedDict, cast

from finetune_app.core.chat_messages import Message, Tool
from finetune_app.core.engine_protocol import MAX_ANSWERS, MAX_LOGPROBS, MAX_NEW_TOKENS
from finetune_app.core.tool_calls import message_text
from finetune_app.gateway.errors import invalid_request
from finetune_app.gateway.json_body import (
    JsonObject,
    model_field,
    number_field,
    read_json_object,
)
from finetune_app.gateway.tool_calls import (
    requested_tools,
    require_answered_calls,
    tool_fields,
)
from finetune_app.providers.target import Options

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
MAX_MESSAGES = 500
MAX_CHARACTERS = 400_000  # of all messages together
MAX_SCHEMA_CHARACTERS = 64_000
DEFAULT_NEW_TOKENS = 1_024
DEFAULT_SEED = 17
UNSUPPORTED = (
    "functions",
    "logit_bias",
    "modalities",
    "audio",
    "prediction",
    "web_search_options",
)


class Sampling(TypedDict, total=False):
    """Sampling parameters in the request; all others stay as the candidate was evaluated."""

    temperature: float
    top_p: float
    presence_penalty: float
    frequency_penalty: float
    max_new_tokens: int
    stop: list[str]
    seed: int
    top_logprobs: int  # alternatives reported for each token; present if logprobs are requested
    schema: str  # a JSON schema that the answer has to match
    required_tools: list[str]  # names of functions of which the answer has to call one
    parallel_tool_calls: bool


# Options that only local models support, by the key in Sampling that they set.
LOCAL_ONLY = {
    "top_logprobs": "logprobs",
    "schema": "response_format",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
# Options that are passed on to a remote model, where a request gives them, by the same key.
REMOTE = {"max_new_tokens": "max_tokens", "top_p": "top_p", "stop": "stop", "seed": "seed"}


@dataclass(frozen=True)
class Prompt:
    """The input for `n` answers. `raw_text`, if given, is continued as it is, without a chat
    template. `tools` are functions that the answers may call; with `is_single_call` an answer ends
    with its first call."""

    messages: list[Message]
    raw_text: str | None = None
    tools: list[Tool] = field(default_factory=list)
    is_single_call: bool = False

    @property
    def question(self) -> str:
        """The last text of the user."""
        return next((m["content"] for m in reversed(self.messages) if m["role"] == "user"), "")

    @property
    def has_calls(self) -> bool:
        """Whether it offers tools or has called some."""
        return bool(self.tools) or any(m["role"] == "tool" for m in self.messages)


@dataclass(frozen=True)
class CommonOptions:
    """Options that both endpoints for text share."""

    n: int  # answers to each prompt
    stream: bool
    include_usage: bool
    conversation_id: str  # the same for all requests of one conversation


@dataclass(frozen=True)
class TextRequest:
    """A validated request for text. `prompt_field` is the name of the field with the prompts;
    `default_new_tokens` is for a local model that is not told how much to write."""

    model: str
    prompts: list[Prompt]
    sampling: Sampling
    options: CommonOptions
    prompt_field: str = "messages"
    default_new_tokens: int = DEFAULT_NEW_TOKENS

    @property
    def messages(self) -> list[Message]:
        """The messages of the first prompt."""
        return self.prompts[0].messages

    @property
    def logprobs(self) -> bool:
        return "top_logprobs" in self.sampling

    @property
    def is_raw(self) -> bool:
        return self.prompts[0].raw_text is not None

    @property
    def local_only_option(self) -> str:
        """The first option of the request that only local models support, or ""."""
        if self.prompts[0].has_calls:
            return "tools"
        return next((name for key, name in LOCAL_ONLY.items() if key in self.sampling), "")

    def seed_of(self, n: int) -> int:
        """Of the n-th answer to a prompt, so that they differ."""
        return (self.sampling.get("seed", DEFAULT_SEED) + n) % 2**31

    def remote_options(self, n: int) -> Options:
        """What the request asks of a remote model for the n-th answer to a prompt."""
        given = {name: self.sampling.get(key) for key, name in REMOTE.items()}
        if given["seed"] is not None:
            given["seed"] = self.seed_of(n)
        return cast(Options, {name: value for name, value in given.items() if value is not None})


def parse_chat_request(body: bytes) -> TextRequest:
    """Raises ApiError if something cannot be read, or would be ignored to the caller's harm."""
    return chat_request(read_json_object(body))


def chat_request(given: JsonObject) -> TextRequest:
    """As parse_chat_request, of a body that was read already."""
    for name in UNSUPPORTED:
        if given.get(name) and given[name] != ["text"]:  # the only modality here
            raise invalid_request(f"“{name}” is not supported here. Leave it out.", name)
    model = model_field(given)
    messages = _messages(given.get("messages"))
    sampling = _chat_sampling(given)
    first_question = next(one["content"] for one in messages if one["role"] == "user")
    asked = requested_tools(given)
    if asked.required:
        sampling["required_tools"] = asked.required
    if asked.is_single:
        sampling["parallel_tool_calls"] = False
    prompt = Prompt(messages, tools=asked.tools, is_single_call=asked.is_single)
    return TextRequest(model, [prompt], sampling, common_options(given, first_question))


def common_options(given: JsonObject, first_question: str) -> CommonOptions:
    stream_options = given.get("stream_options")
    include_usage = isinstance(stream_options, dict) and stream_options.get("include_usage") is True
    return CommonOptions(
        n=int(number_field(given, "n", 1, 1, MAX_ANSWERS)),
        stream=given.get("stream") is True,
        include_usage=include_usage,
        conversation_id=_conversation_id(given, first_question),
    )


def _conversation_id(given: JsonObject, first_question: str) -> str:
    """The request's “user”, or else the first question, which stays the same while a conversation
    grows."""
    user = given.get("user")
    if isinstance(user, str) and user.strip():
        return f"user {user.strip()[:200]}"
    return f"began {first_question}"


def sampling_options(given: JsonObject) -> Sampling:
    sampling = Sampling()
    if given.get("temperature") is not None:
        sampling["temperature"] = number_field(given, "temperature", 0.0, 0.0, 2.0)
    if given.get("top_p") is not None:
        sampling["top_p"] = max(number_field(given, "top_p", 1.0, 0.0, 1.0), 1e-6)
    if presence_penalty := number_field(given, "presence_penalty", 0.0, -2.0, 2.0):
        sampling["presence_penalty"] = presence_penalty
    if frequency_penalty := number_field(given, "frequency_penalty", 0.0, -2.0, 2.0):
        sampling["frequency_penalty"] = frequency_penalty
    is_new = given.get("max_completion_tokens") is not None
    name = "max_completion_tokens" if is_new else "max_tokens"
    if given.get(name) is not None:
        sampling["max_new_tokens"] = int(number_field(given, name, 1, 1, MAX_NEW_TOKENS))
    if given.get("seed") is not None:
        sampling["seed"] = int(number_field(given, "seed", DEFAULT_SEED, -(2**63), 2**63))
    if given.get("stop"):
        sampling["stop"] = _stop_texts(given["stop"])
    return sampling


def _stop_texts(stop: Any) -> list[str]:
    texts = [stop] if isinstance(stop, str) else stop
    if (
        not isinstance(texts, list)
        or len(texts) > 4
        or not all(isinstance(one, str) and one for one in texts)
    ):
        raise invalid_request("“stop” is a text or a list of up to four texts.", "stop")
    return texts


def _chat_sampling(given: JsonObject) -> Sampling:
    sampling = sampling_options(given)
    top_logprobs = int(number_field(given, "top_logprobs", 0, 0, MAX_LOGPROBS))
    if given.get("logprobs") not in (None, False, True):
        raise invalid_request("“logprobs” is true or false.", "logprobs")
    if given.get("logprobs"):
        sampling["top_logprobs"] = top_logprobs
    elif top_logprobs:
        raise invalid_request("“top_logprobs” needs “logprobs” to be true.", "top_logprobs")
    schema = _json_schema(given.get("response_format"))
    if schema:
        sampling["schema"] = schema
    return sampling


def _json_schema(response_format: Any) -> str:
    """The JSON schema that the answer has to match, as text; "" if any text will do. `strict` is
    ignored: a schema is always enforced."""
    is_object = isinstance(response_format, dict)
    kind = response_format.get("type") if is_object else response_format
    if kind in (None, "text"):
        return ""
    if kind == "json_object":
        return '{"type": "object"}'
    wrapper = response_format.get("json_schema") if kind == "json_schema" and is_object else None
    schema = wrapper.get("schema") if isinstance(wrapper, dict) else None
    if not isinstance(schema, dict):
        raise invalid_request(
            "“response_format” is {“type”: “text”}, {“type”: “json_object”}, or {“type”: "
            "“json_schema”, “json_schema”: {“name”: …, “schema”: {…}}}.",
            "response_format",
        )
    try:
        text = json.dumps(schema)
    except RecursionError:
        raise invalid_request("The schema is nested too deeply.", "response_format") from None
    if len(text) > MAX_SCHEMA_CHARACTERS:
        raise invalid_request(
            f"The schema is longer than {MAX_SCHEMA_CHARACTERS:,} characters.", "response_format"
        )
    return text


def _messages(given: Any) -> list[Message]:
    if not isinstance(given, list) or not given:
        raise invalid_request("“messages” must be a list with at least one message.", "messages")
    if len(given) > MAX_MESSAGES:
        raise invalid_request(f"“messages” may have at most {MAX_MESSAGES} entries.", "messages")
    messages = [_message(item, at) for at, item in enumerate(given)]
    if sum(len(message_text(message)) for message in messages) > MAX_CHARACTERS:
        raise invalid_request(
            f"The messages are longer than {MAX_CHARACTERS:,} characters.",
            "messages",
            code="context_length_exceeded",
        )
    roles = [message["role"] for message in messages]
    if roles[-1] not in ("user", "tool") or "user" not in roles:
        raise invalid_request(
            "The last message must be the user's, or the result of a tool that the user's led to: "
            "it is what is answered.",
            "messages",
        )
    require_answered_calls(messages)
    return messages


def _message(item: Any, at: int) -> Message:
    where = f"messages[{at}]"
    role = item.get("role") if isinstance(item, dict) else None
    if not isinstance(role, str) or role not in ROLES:
        raise invalid_request(
            f"{where}.role must be system, user, assistant or tool.", f"{where}.role"
        )
    message = tool_fields(item, ROLES[role], at)
    if "tool_calls" not in message or item.get("content") is not None:
        message["content"] = _content(item.get("content"), f"{where}.content")
    return message


def _content(content: Any, where: str) -> str:
    """A string, or a list of text parts joined."""
    if isinstance(content, list):
        parts = [
            part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
            for part in content
        ]
        if all(isinstance(part, str) for part in parts):
            content = "".join(str(part) for part in parts)
    if not isinstance(content, str):
        raise invalid_request(
            f"{where} must be text; pictures and sound are not understood here.", where
        )
    return content

"""The JSON that the web application and the engine process exchange over the Unix socket.

Shared by `engine_client` (web) and `worker/engine/server.py` (engine), so it imports neither.
"""

from typing import NotRequired, TypedDict

from finetune_app.core.chat_messages import Message, Tool

# The most that one request may ask for; the API refuses more.
MAX_ANSWERS = 8
MAX_NEW_TOKENS = 4_096  # of an answer
MAX_THOUGHT_TOKENS = 8_192
MAX_LOGPROBS = 20  # at a position
MAX_TEXTS = 256  # to embed

# The number format of a base model beside a QLoRA adapter: bf16, after the linear layers were
# rounded to 4-bit NF4 numbers as they were in training.
NF4 = "nf4"
# The weights rounded to 8 bits, which answers faster on a processor; chosen with a test.
INT8 = "int8"
ROUNDED = (NF4, INT8)  # other weights than the base model as it is: an engine of their own

# In the folder of a job that answers: the formats that were chosen, for when it continues.
NUMBER_FORMATS_FILE = "number_formats.json"


class TopLogprob(TypedDict):
    """A token, its log-probability, and the bytes it stands for."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    """A generated token, and the most likely tokens at its position, best first."""

    top_logprobs: list[TopLogprob]


class Sampling(TypedDict, total=False):
    """Generation settings; see `worker.engine.requests.GenerationRequest`."""

    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: list[str]
    top_logprobs: int | None
    schema: str | None
    required_tools: list[str]
    parallel_tool_calls: bool
    presence_penalty: float
    frequency_penalty: float
    require_effect: bool
    thought_tokens: int
    background: bool
    """Nobody waits for it: refused (429) while people's requests need the room."""


class ChatRequest(Sampling):
    """One answer to generate. `candidate` identifies it in the events."""

    candidate: str
    messages: list[Message]
    adapter: str | None
    """Absolute folder of a LoRA adapter; None is the base model."""
    prompt: NotRequired[str | None]
    """Text to continue without a chat template, instead of `messages`."""
    tools: NotRequired[list[Tool]]
    """Functions that the answer may call."""
    caller: NotRequired[str]
    """Who asks: callers take turns, and share nothing that is cached of their prompts."""


class ChatBody(Sampling):
    """POST /chat: requests to answer in one batch; each may override the sampling."""

    base_model: str
    number_format: str
    requests: list[ChatRequest]


class ChatEvent(TypedDict, total=False):
    """One line of the answer to /chat: text, or the end of a candidate's answer. Both have the
    counts of tokens so far, since whoever asks may not wait for the end."""

    candidate: str
    text: str
    thought: str
    """Text of the thought before the answer."""
    logprobs: list[TokenLogprob]
    done: bool
    finish_reason: str
    """stop, length, cancelled or error."""
    tokens: int
    """Written, the thought included."""
    thought_tokens: int
    prompt_tokens: int
    seconds: float
    error: str
    code: str
    """Kind of the error, such as context_length_exceeded."""
    param: str
    """The part of the request that is at fault."""


class TokenSpan(TypedDict):
    """Text of one token, or of several that share one character."""

    text: str
    learned: bool
    cut: bool
    special: bool


class FoundPassage(TypedDict):
    """A passage of a document; the fields of `Passage` in the candidates room."""

    document: int
    name: str
    title: str
    page: int
    at: int
    text: str
    score: float
    why: str


class EngineHealth(TypedDict):
    """GET /health. `base_model` is the one that was used last, to which `number_format`, `engine`
    and `merged` belong. `engine` is "own" or "vllm"; the others are folders."""

    base_model: str | None
    also_loaded: list[str]
    number_format: str | None
    engine: str | None
    why_not_vllm: str
    adapters: list[str]
    merged: str | None
    loading: bool
    """A base model is being loaded, or waits for memory that others use."""
    memory_bytes: int
    queue: int
    queue_limit: int

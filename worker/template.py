"""Renders messages to tokens, the same way for training and inference.

A model that is trained on one rendering and prompted with another gives bad answers for no visible
reason, so training, evaluation, chat, token views and serving all use this module. The loss mask
(assistant turns with their end-of-turn tokens) is derived from the model's own chat template by
rendering a conversation up to each turn and comparing prefixes, without assumptions about the
template's format.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from finetune_app.core.chat_messages import Message, Tool, is_learned, without_weights
from worker.channel import UserError
from worker.chat_template import render, render_unescaped, special_token_ids
from worker.thinking import CANNOT_THINK, OPENING, can_think

__all__ = ["special_token_ids"]

# For base models without a chat template. Saved with the adapter, so that other programs render
# the same text.
FALLBACK_TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'] + ':\n' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:\n' }}{% endif %}"
)

REPLACEMENT = "\ufffd"  # what a tokenizer decodes an incomplete character to
MAX_TOKENS_OF_A_CHARACTER = 4


@dataclass(frozen=True)
class TokenizedExample:
    """One conversation as tokens.

    loss_mask: as long as input_ids; whether the model learns to produce that token.
    left_out: messages of the middle that were left out, so that the rest fits.
    unlearned_answers: earlier answers that are context only, because the template rewrites them.
    unlearned_calls: the same for calls, as places counted from the end (-1 is the last message).
    """

    input_ids: list[int]
    loss_mask: list[bool]
    left_out: int = 0
    unlearned_answers: int = 0
    unlearned_calls: tuple[int, ...] = ()

    @property
    def padded_tokens(self) -> int:
        """What it takes in a batch of its own."""
        return len(self.input_ids)

    @property
    def conversations(self) -> "list[TokenizedExample]":
        """Itself; a pair of answers has two."""
        return [self]


class ExampleTooLong(UserError):
    """Not even its instructions, its last question and the answer fit together."""


@dataclass(frozen=True)
class TokenSpan:
    """Text of one token, or of several that share one character, for a token view."""

    text: str
    learned: bool
    cut: bool  # left out, so that the rest fits
    special: bool = False  # a special token of the template, such as an end of turn


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a local model folder, always with a chat template. Raises UserError."""
    try:
        # Without trust_remote_code, transformers asks on the terminal whether to run code.
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            "bad_model",
            "The model's tokenizer could not be read. Its folder may be incomplete: install "
            "the base model again.",
        ) from error
    if not tokenizer.chat_template:
        tokenizer.chat_template = FALLBACK_TEMPLATE
    return tokenizer


def prompt_token_ids(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Tool] = (),
    *,
    thinking: bool = False,
) -> list[int]:
    """A conversation as tokens, with the generation prompt at the end.

    thinking: and with the beginning of a thought. Raises UserError, also for a model that cannot.
    """
    if thinking and not can_think(tokenizer):
        raise UserError("bad_model", CANNOT_THINK)
    text = render(tokenizer, messages, tools, add_generation_prompt=True, thinking=thinking)
    return _encode(tokenizer, text + OPENING if thinking else text)


def text_token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """A text to continue, as tokens, without a chat template.

    Special tokens in it are read as such: the caller may have rendered a template already.
    """
    return list(tokenizer(text)["input_ids"])


def tokenize_example(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    max_tokens: int,
    tools: Sequence[Tool] = (),
    *,
    thinking: bool = False,
) -> TokenizedExample:
    """A conversation that ends in an answer, as tokens with a loss mask.

    An answer with the weight 0 is read and not learned. A conversation that is too long loses
    whole turns after its instructions, the oldest first.

    thinking: the thought before the last answer is learned with it. A row without a thought is
    learned as by a model that answers at once.

    Raises UserError (bad_data); ExampleTooLong when no more turns can be left out.
    """
    kept = list(messages)
    while True:
        example = _tokenize(tokenizer, kept, tools, thinking)
        excess = len(example.input_ids) - max_tokens
        if excess <= 0:
            return replace(example, left_out=len(messages) - len(kept))
        kept = _without_oldest_turns(tokenizer, kept, excess, max_tokens)


def tokenize_row(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    max_tokens: int,
    tools: Sequence[Tool] = (),
    *,
    thinking: bool = False,
) -> list[TokenizedExample]:
    """A conversation to learn: the example of `tokenize_example`, and one for each call in it that
    the template rewrites once it is answered. At inference the conversation ends at such a call.

    Raises as `tokenize_example`.
    """
    tokenize = partial(
        tokenize_example, tokenizer, max_tokens=max_tokens, tools=tools, thinking=thinking
    )
    whole = tokenize(messages)
    ends = (len(messages) + place + 1 for place in whole.unlearned_calls)
    return [whole, *(tokenize(messages[:end]) for end in ends)]


def _without_oldest_turns(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], excess: int, max_tokens: int
) -> list[Message]:
    """The instructions and the turns after the first ones, which have about `excess` tokens."""
    first = int(messages[0]["role"] == "system")
    later = [i for i, one in enumerate(messages) if one["role"] == "user" and i > first]
    freed, at = 0, first
    for question in later:
        freed += sum(len(_encode(tokenizer, _text_of(one))) for one in messages[at:question])
        at = question
        if freed >= excess:
            break
    if at == first:
        raise ExampleTooLong(
            "bad_data",
            f"It has {max_tokens + excess:,} tokens, and {max_tokens:,} can be read at once. "
            "Shorten it, or allow longer examples in the settings.",
        )
    return [*messages[:first], *messages[at:]]


def _text_of(message: Message) -> str:
    calls = (call["function"]["arguments"] for call in message.get("tool_calls", ()))
    return "".join((message["content"], *calls))


def token_spans(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    max_tokens: int,
    tools: Sequence[Tool] = (),
    *,
    thinking: bool = False,
) -> list[TokenSpan]:
    """The same conversation as readable text: what is learned, only read, or left out."""
    whole = _tokenize(tokenizer, messages, tools, thinking)
    try:
        kept = tokenize_example(tokenizer, messages, max_tokens, tools, thinking=thinking)
        left_out = _left_out(whole.input_ids, kept)
    except ExampleTooLong:
        left_out = range(len(whole.input_ids))
    special = special_token_ids(tokenizer)
    return [
        TokenSpan(
            text, whole.loss_mask[start], start in left_out, whole.input_ids[start] in special
        )
        for start, text in _decode_spans(tokenizer, whole.input_ids)
    ]


def _left_out(whole: list[int], kept: TokenizedExample) -> range:
    """Positions of the tokens in the middle that `kept` lacks."""
    pairs = zip(whole, kept.input_ids, strict=False)
    start = next((i for i, (a, b) in enumerate(pairs) if a != b), len(kept.input_ids))
    return range(start, start + len(whole) - len(kept.input_ids))


class Renderer:
    """The text of many conversations of one model, for counting tokens.

    Special tokens typed by a user are not escaped, and a conversation that the template rejects is
    counted as plain text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    def text(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str:
        messages = without_weights(messages)
        try:
            thinking = "reasoning_content" in messages[-1] and can_think(self._tokenizer)
            return render_unescaped(self._tokenizer, messages, tools, thinking=thinking)
        except UserError:
            return "\n".join(str(message.get("content", "")) for message in messages)


def stop_token_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Tokens that end an answer: end of text, and the template's own end of turn."""
    conversation: list[Message] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]
    whole = _tokenize(tokenizer, conversation)
    last = max(i for i, learned in enumerate(whole.loss_mask) if learned)
    stops = {whole.input_ids[last]}
    if tokenizer.eos_token_id is not None:
        stops.add(tokenizer.eos_token_id)
    return stops


def _tokenize(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Tool] = (),
    thinking: bool = False,
) -> TokenizedExample:
    """The whole conversation, however long."""
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise UserError(
            "bad_data",
            "An example needs a prompt and must end with the assistant's answer.",
        )
    if not is_learned(messages[-1]):
        raise UserError("bad_data", "The last answer has the weight 0, so nothing is learned.")
    input_ids: list[int] = []
    loss_mask: list[bool] = []
    unlearned = 0
    unlearned_calls: list[int] = []
    thinks = thinking and "reasoning_content" in messages[-1]
    write = partial(render, tokenizer, tools=tools, thinking=thinks)
    text = write(messages, add_generation_prompt=False)
    for index, message in enumerate(messages):
        if not is_learned(message) or index == 0:
            continue
        is_last = index == len(messages) - 1
        before = write(messages[:index], add_generation_prompt=True)
        through = text if is_last else write(messages[: index + 1], add_generation_prompt=False)
        if not is_last and not (text.startswith(through) and through.startswith(before)):
            if "tool_calls" in message:
                unlearned_calls.append(index - len(messages))
            else:
                unlearned += 1
            continue
        if not through.startswith(before):
            through = before + _answer_text(write, messages)
        prompt = _tokenize_after(tokenizer, input_ids, before)
        answer = _tokenize_after(tokenizer, prompt, through)[len(prompt) :]
        learned = _answer_length(tokenizer, answer)
        if is_last:
            answer = answer[:learned] or answer
            if not learned:  # the template has no end of turn: teach the model to stop anyway
                answer = [*answer, tokenizer.eos_token_id]
            learned = len(answer)
        loss_mask += [False] * (len(prompt) - len(input_ids))
        loss_mask += [position < learned for position in range(len(answer))]
        input_ids = prompt + answer
    return TokenizedExample(input_ids, loss_mask, 0, unlearned, tuple(unlearned_calls))


def _answer_text(write: Callable[..., str], messages: Sequence[Message]) -> str:
    """What the template writes for the last answer, found without the instructions.

    Mistral's templates put them before the last question, and drop them once it is answered.
    write: `render` for this model. Raises UserError for a template that changes more than that.
    """
    rest = messages[1:] if messages[0]["role"] == "system" else messages
    before = write(rest[:-1], add_generation_prompt=True)
    through = write(rest, add_generation_prompt=False)
    if not through.startswith(before):
        raise _not_a_prefix()
    return through[len(before) :]


def _tokenize_after(tokenizer: PreTrainedTokenizerBase, start: list[int], text: str) -> list[int]:
    """Tokens of `text` that begin with `start`, the tokens of a prefix of `text`.

    Tokenizing the whole text is right for tokenizers that treat the start of a text specially.
    Where that merges tokens across the boundary (an answer that begins with a line break), the
    rest is tokenized alone: at inference the prompt ends exactly there too.
    """
    whole = _encode(tokenizer, text)
    if whole[: len(start)] == start:
        return whole
    prefix = str(tokenizer.decode(start, clean_up_tokenization_spaces=False))
    if not text.startswith(prefix):
        raise _not_a_prefix()
    return start + _encode(tokenizer, text[len(prefix) :])


def _answer_length(tokenizer: PreTrainedTokenizerBase, answer: list[int]) -> int:
    """Tokens of an answer including its end-of-turn token; 0 when it has none.

    What follows that token (often a line break) is never generated, so it is not learned.
    """
    special = special_token_ids(tokenizer)
    for position in range(len(answer) - 1, -1, -1):
        if answer[position] in special:
            return position + 1
    return 0


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _not_a_prefix() -> UserError:
    return UserError(
        "bad_model",
        "This model's chat template changes earlier text when an answer is added, so what is "
        "to be learned cannot be told apart from the prompt. Choose another base model.",
    )


def _decode_spans(
    tokenizer: PreTrainedTokenizerBase, token_ids: list[int]
) -> Iterator[tuple[int, str]]:
    """(first token's position, text), joining tokens that form a character only together."""
    start = 0
    for end in range(1, len(token_ids) + 1):
        text = str(tokenizer.decode(token_ids[start:end], clean_up_tokenization_spaces=False))
        incomplete = text.endswith(REPLACEMENT) and end - start < MAX_TOKENS_OF_A_CHARACTER
        if incomplete and end < len(token_ids):
            continue
        yield start, text
        start = end

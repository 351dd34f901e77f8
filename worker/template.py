"""Messages to tokens: the only place, so that training and every use of a model agree.

A model that is trained on one rendering and asked in another looks broken for no visible
reason. Training, evaluation, chat, token views and serving therefore all come here. What is
learned (the assistant's turns, each with its end-of-turn token) is worked out from the model's
own chat template by rendering a conversation up to a turn and comparing prefixes; nothing is
assumed about how a template marks its turns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from worker.channel import UserError

Message = dict[str, str]

# For base models that come without a chat template. Saved with the adapter, so that whoever
# loads it renders the same text.
FALLBACK_TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'] + ':\n' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:\n' }}{% endif %}"
)

# What some templates ask for. Without its thinking a model answers as it is taught here: the
# empty thought is then part of the prompt, in training and in every use alike. Llama 3.2 writes
# the date into each prompt, and the same conversation must give the same tokens tomorrow.
TEMPLATE_OPTIONS: dict[str, Any] = {"enable_thinking": False, "date_string": "26 Jul 2024"}


@dataclass(frozen=True)
class TokenizedExample:
    """One conversation as tokens.

    `ids` and `learned` have the same length; `learned[i]` says whether the model is taught to
    produce `ids[i]`. `cut` tokens were removed from the front to fit; `unlearned_answers`
    earlier answers are context only, because the template rewrites history.
    """

    input_ids: list[int]
    loss_mask: list[bool]
    truncated_tokens: int = 0
    unlearned_answers: int = 0


@dataclass(frozen=True)
class TokenSpan:
    """A stretch of text for a token view: one token, or several that share one character."""

    text: str
    learned: bool
    cut: bool
    special: bool = False  # a mark of the template, such as an end of turn


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a local model folder, with a chat template in any case."""
    try:
        # Where this is not said, transformers asks on the terminal whether to run the code.
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


def prompt_token_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation, ready for the model to answer (generation prompt added)."""
    return _encode(tokenizer, _render(tokenizer, messages, answer_next=True))


def text_token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text that is gone on with as it stands, no conversation. Its marks are marks:
    whoever sends it may have rendered a template of their own."""
    return list(tokenizer(text)["input_ids"])


def tokenize_example(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], max_tokens: int
) -> TokenizedExample:
    """Tokens of a conversation that ends in an answer, and which of them are learned.

    A conversation longer than `max_tokens` loses tokens from the front of its prompt (see
    `TokenizedExample.cut`). Raises `UserError` (bad_data) when the last answer does not fit.
    """
    whole = _tokenize(tokenizer, messages)
    cut = max(0, len(whole.input_ids) - max_tokens)
    answer = _last_answer_length(whole.loss_mask)
    if cut and len(whole.input_ids) - answer <= cut:
        raise UserError(
            "bad_data",
            f"An answer of {answer} tokens leaves no room for its prompt within {max_tokens} "
            "tokens. Shorten the answer, or allow longer examples in the settings.",
        )
    return TokenizedExample(
        whole.input_ids[cut:], whole.loss_mask[cut:], cut, whole.unlearned_answers
    )


def token_spans(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], max_tokens: int
) -> list[TokenSpan]:
    """The same conversation as readable pieces, each learned, read only, or cut away."""
    whole = _tokenize(tokenizer, messages)
    cut = max(0, len(whole.input_ids) - max_tokens)
    special = special_token_ids(tokenizer)
    return [
        TokenSpan(text, whole.loss_mask[start], start < cut, whole.input_ids[start] in special)
        for start, text in _decode_spans(tokenizer, whole.input_ids)
    ]


class Renderer:
    """The text of many conversations of one model, to count tokens: marks typed by somebody are
    not told apart, and what a template refuses is counted as it stands."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    def text(self, messages: Sequence[Message]) -> str:
        for said in (messages, _merge_system_into_user(messages) if messages else messages):
            try:
                return str(
                    self._tokenizer.apply_chat_template(
                        list(said), tokenize=False, add_generation_prompt=False, **TEMPLATE_OPTIONS
                    )
                )
            except (TemplateError, TypeError, ValueError):
                continue
        return "\n".join(str(one.get("content", "")) for one in messages)


def stop_token_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids that end an answer: end of text, and the template's own end-of-turn token."""
    turn = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    whole = _tokenize(tokenizer, turn)
    last = max(i for i, learned in enumerate(whole.loss_mask) if learned)
    stops = {whole.input_ids[last]}
    if tokenizer.eos_token_id is not None:
        stops.add(tokenizer.eos_token_id)
    return stops


def _tokenize(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> TokenizedExample:
    """The conversation before any cutting."""
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise UserError(
            "bad_data",
            "An example needs a prompt and must end with the assistant's answer.",
        )
    ids: list[int] = []
    learned: list[bool] = []
    unlearned = 0
    text = _render(tokenizer, messages, answer_next=False)
    for index, message in enumerate(messages):
        if message["role"] != "assistant" or index == 0:
            continue
        is_last = index == len(messages) - 1
        before = _render(tokenizer, messages[:index], answer_next=True)
        through = text if is_last else _render(tokenizer, messages[: index + 1], answer_next=False)
        if not text.startswith(through):
            unlearned += 1
            continue
        if not through.startswith(before):
            raise _not_a_prefix()
        prompt = _tokenize_after(tokenizer, ids, before)
        answer = _tokenize_after(tokenizer, prompt, through)[len(prompt) :]
        keep = _answer_length(tokenizer, answer)
        if is_last:
            answer = answer[:keep] or answer
            if not keep:  # the template ends no turn: teach the model to stop all the same
                answer = [*answer, tokenizer.eos_token_id]
            keep = len(answer)
        learned += [False] * (len(prompt) - len(ids))
        learned += [position < keep for position in range(len(answer))]
        ids = prompt + answer
    return TokenizedExample(ids, learned, 0, unlearned)


def _tokenize_after(tokenizer: PreTrainedTokenizerBase, start: list[int], text: str) -> list[int]:
    """Ids of `text` that begin with `start`, the ids of a prefix of `text`.

    Tokenising in one go is right for tokenizers that treat the beginning of a text specially.
    Where it would merge across the boundary (an answer that begins with a line break), the
    rest is tokenised by itself: at inference the prompt ends exactly there too.
    """
    together = _encode(tokenizer, text)
    if together[: len(start)] == start:
        return together
    prefix = str(tokenizer.decode(start, clean_up_tokenization_spaces=False))
    if not text.startswith(prefix):
        raise _not_a_prefix()
    return start + _encode(tokenizer, text[len(prefix) :])


def _answer_length(tokenizer: PreTrainedTokenizerBase, answer: list[int]) -> int:
    """Tokens of an answer up to and with its end-of-turn token; 0 when it has none.

    What follows that token (often a line break) is never generated, so it is not learned.
    """
    special = special_token_ids(tokenizer)
    for position in range(len(answer) - 1, -1, -1):
        if answer[position] in special:
            return position + 1
    return 0


def special_token_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    added = tokenizer.added_tokens_decoder
    return set(tokenizer.all_special_ids) | {i for i, token in added.items() if token.special}


def _last_answer_length(learned: list[bool]) -> int:
    """Length in tokens of the last answer."""
    count = 0
    for flag in reversed(learned):
        if not flag and count:
            break
        count += 1
    return count


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _render(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, answer_next: bool
) -> str:
    """The template's text; folds instructions into the first question where it refuses them."""
    options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": answer_next}
    said = _escape_special_tokens(tokenizer, messages)
    try:
        return str(tokenizer.apply_chat_template(said, **options, **TEMPLATE_OPTIONS))
    except (TemplateError, TypeError, ValueError) as error:
        if messages and messages[0]["role"] == "system":
            return _render(tokenizer, _merge_system_into_user(messages), answer_next=answer_next)
        raise UserError(
            "bad_data",
            f"The model's chat template refuses this conversation ({error}). Questions and "
            "answers must take turns, beginning with a question.",
        ) from error


def _escape_special_tokens(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]
) -> list[Message]:
    """Marks of the template, such as an end of turn, typed by somebody are only text.

    A word joiner after their first character keeps the tokenizer from reading them as marks.
    Answers stay as they are: they are what the model shall say, to the letter.
    """
    marks = [str(tokenizer.convert_ids_to_tokens(i)) for i in special_token_ids(tokenizer)]
    found = []
    for message in messages:
        content = message["content"]
        if message["role"] != "assistant":
            for mark in marks:
                if len(mark) > 1 and mark in content:
                    content = content.replace(mark, f"{mark[0]}\u2060{mark[1:]}")
        found.append({**message, "content": content})
    return found


def _merge_system_into_user(messages: Sequence[Message]) -> list[Message]:
    """Instructions moved into the first question, for templates without a system role."""
    instructions, *rest = messages
    if not rest or rest[0]["role"] != "user":
        return [{"role": "user", "content": instructions["content"]}, *rest]
    question = {"role": "user", "content": f"{instructions['content']}\n\n{rest[0]['content']}"}
    return [question, *rest[1:]]


def _not_a_prefix() -> UserError:
    return UserError(
        "bad_model",
        "This model's chat template changes earlier text when an answer is added, so what is "
        "to be learned cannot be told apart from the prompt. Choose another base model.",
    )


def _decode_spans(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> Iterator[tuple[int, str]]:
    """(first token's position, text), joining tokens that only together make a character."""
    start = 0
    for end in range(1, len(ids) + 1):
        text = str(tokenizer.decode(ids[start:end], clean_up_tokenization_spaces=False))
        if text.endswith("\ufffd") and end - start < 4 and end < len(ids):
            continue
        yield start, text
        start = end

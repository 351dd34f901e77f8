"""Calls the model's chat template: messages and tools become text.

Asks the template what it can do, by rendering small conversations and comparing, rather than by
the name of its family. template.py turns the text into tokens.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from finetune_app.core.chat_messages import Message, Tool
from finetune_app.core.thinking import with_thought
from finetune_app.core.tool_calls import calls_in, canonical
from worker.channel import UserError

# Llama 3.2 writes the date into each prompt, and the same conversation must give the same tokens
# every day.
DATE = "26 Jul 2024"

WORD_JOINER = "\u2060"  # invisible
ERRORS = (TemplateError, TypeError, ValueError, KeyError)
NO_TOOLS = (
    "This base model's chat template has no tools, so it cannot read or write calls. Choose a base "
    "model that was made for tools, or set the rows with tools aside: the table of examples lists "
    "them under More filters."
)
OTHER_CALLS = (
    "This base model's chat template writes calls in a form that is not read here. Choose another "
    "base model, or set the rows with tools aside: the table of examples lists them under More "
    "filters."
)

SAMPLE_TOOL: Tool = {
    "type": "function",
    "function": {
        "name": "sample_tool",
        "description": "A sample.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
    },
}
SAMPLE_CALL: Message = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "call00001",
            "type": "function",
            "function": {"name": "sample_tool", "arguments": '{"word": "a"}'},
        }
    ],
}

T = TypeVar("T")


def template_options(thinking: bool) -> dict[str, Any]:
    """Variables of some templates, the same in training and in every use.

    Without thinking, an empty thought is part of the prompt.
    """
    return {"enable_thinking": thinking, "date_string": DATE}


def once_a_template(
    ask: Callable[[PreTrainedTokenizerBase], T],
) -> Callable[[PreTrainedTokenizerBase], T]:
    """Keep what was found out about a tokenizer for as long as its chat template stays."""
    known: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[Any, T]] = WeakKeyDictionary()

    @wraps(ask)
    def answer(tokenizer: PreTrainedTokenizerBase) -> T:
        found = known.get(tokenizer)
        if found is None or found[0] != tokenizer.chat_template:
            found = known[tokenizer] = tokenizer.chat_template, ask(tokenizer)
        return found[1]

    return answer


class ToolsUnsupported(UserError):
    """The conversation has tools and the chat template has none."""

    param = "tools"  # of an API request


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Tool] = (),
    *,
    add_generation_prompt: bool,
    thinking: bool = False,
) -> str:
    """The template's text. Where it has no system role, instructions go into the first question.

    thinking: the answers after the last question stand behind their thoughts, and so does what is
    to be written. Without it all thoughts are left out.

    Raises UserError when the template rejects the conversation, ToolsUnsupported for tools.
    """
    has_calls = any(one["role"] == "tool" or "tool_calls" in one for one in messages)
    if (tools or has_calls) and (problem := tool_problem(tokenizer)):
        raise ToolsUnsupported("bad_data", problem)
    special = _special_texts(tokenizer)
    escaped = _escape_messages(messages, special)
    tools = _escape(list(tools), special)
    return _rendered(tokenizer, escaped, tools, add_generation_prompt, thinking)


def render_unescaped(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Tool] = (),
    *,
    thinking: bool = False,
) -> str:
    """The same, much faster, with special tokens typed by a user as they are: for counting."""
    return _rendered(tokenizer, messages, tools, False, thinking)


def _rendered(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    add_generation_prompt: bool,
    thinking: bool,
) -> str:
    """Raises UserError when the template rejects the conversation."""
    try:
        return _render(tokenizer, messages, tools, add_generation_prompt, thinking)
    except ERRORS as error:
        raise UserError(
            "bad_data",
            f"The model's chat template refuses this conversation ({error}). Questions and "
            "answers must take turns, beginning with a question.",
        ) from error


def used_options(tokenizer: PreTrainedTokenizerBase, *, thinking: bool = False) -> dict[str, Any]:
    """Those of `template_options` that change what this template writes: other programs have to set
    them too, to ask as the model was taught."""
    question: list[Any] = [{"role": "user", "content": "a"}]

    def prompt(options: Mapping[str, Any]) -> str:
        return str(
            tokenizer.apply_chat_template(
                question, tokenize=False, add_generation_prompt=True, **options
            )
        )

    options = template_options(thinking)
    taught = prompt(options)

    def is_used(name: str) -> bool:
        others = {k: v for k, v in options.items() if k != name}
        flipped = {**others, name: not options[name]} if name == "enable_thinking" else others
        return prompt(others) != taught or prompt(flipped) != taught

    return {name: value for name, value in options.items() if is_used(name)}


@once_a_template
def tool_problem(tokenizer: PreTrainedTokenizerBase) -> str:
    """Why conversations with tools cannot be rendered, as a sentence; "" where they can."""
    question: Message = {"role": "user", "content": "a"}
    result: Message = {"role": "tool", "content": "b", "tool_call_id": "call00001"}
    try:
        prompt = _render(tokenizer, [question], [SAMPLE_TOOL], True)
        if prompt == _render(tokenizer, [question], [], True):
            return NO_TOOLS
        answered = _render(tokenizer, [question, SAMPLE_CALL], [SAMPLE_TOOL], False)
        _render(tokenizer, [question, SAMPLE_CALL, result], [SAMPLE_TOOL], True)
    except ERRORS:
        return NO_TOOLS
    if not answered.startswith(prompt):
        return OTHER_CALLS
    ids = tokenizer(answered[len(prompt) :], add_special_tokens=False)["input_ids"]
    said = str(tokenizer.decode(ids, skip_special_tokens=True))
    _text, calls = calls_in(said, [SAMPLE_TOOL])
    wanted = canonical(call["function"] for call in SAMPLE_CALL["tool_calls"])
    return "" if calls and canonical(calls) == wanted else OTHER_CALLS


def _render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    add_generation_prompt: bool,
    thinking: bool = False,
) -> str:
    """Tries the forms that templates differ in: arguments parsed or as text, instructions as a
    message or in the first question. Raises the template's error when it rejects all."""
    messages = _with_thoughts(messages) if thinking else messages
    variants = [_template_messages(messages, parsed=True)]
    if any("tool_calls" in message for message in messages):
        variants.append(_template_messages(messages, parsed=False))
    if messages and messages[0]["role"] == "system":
        variants += [merge_system_into_user(one) for one in variants]
    refused: Exception | None = None
    for variant in variants:
        try:
            return str(
                tokenizer.apply_chat_template(
                    cast("list[dict[str, str]]", variant),
                    tools=cast(Any, list(tools)) if tools else None,
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                    **template_options(thinking),
                )
            )
        except ERRORS as error:
            refused = error
    assert refused is not None
    raise refused


def _with_thoughts(messages: Sequence[Message]) -> list[Message]:
    """Answers after the last question, each behind its thought.

    In the text, because not every template of a thinking model reads `reasoning_content`. Thoughts
    about earlier questions are not read again: the models were made so.
    """
    questions = [at for at, message in enumerate(messages) if message["role"] == "user"]
    start = questions[-1] if questions else 0
    return [
        one | {"content": with_thought(one["content"], one["reasoning_content"])}
        if at > start and "reasoning_content" in one
        else one
        for at, one in enumerate(messages)
    ]


def _template_messages(messages: Sequence[Message], *, parsed: bool) -> list[Any]:
    """Messages as templates want them.

    The ids of calls are numbered, in nine characters as Mistral's templates demand: a random id
    cannot be learned. Arguments are parsed, because most templates write them as JSON themselves.
    """
    numbers: dict[str, str] = {}
    converted: list[Any] = []
    for message in messages:
        one: dict[str, Any] = {"role": message["role"], "content": message["content"]}
        for call in message.get("tool_calls", ()):
            numbers[call["id"]] = f"call{len(numbers) + 1:05d}"
            arguments = call["function"]["arguments"]
            function = {
                "name": call["function"]["name"],
                "arguments": json.loads(arguments) if parsed else arguments,
            }
            new = {"id": numbers[call["id"]], "type": "function", "function": function}
            one.setdefault("tool_calls", []).append(new)
        if "tool_call_id" in message:
            one["tool_call_id"] = numbers.get(message["tool_call_id"], message["tool_call_id"])
        if "name" in message:
            one["name"] = message["name"]
        converted.append(one)
    return converted


def special_token_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    added = tokenizer.added_tokens_decoder
    return set(tokenizer.all_special_ids) | {i for i, token in added.items() if token.special}


def _special_texts(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    return [str(tokenizer.convert_ids_to_tokens(i)) for i in special_token_ids(tokenizer)]


def _escape_messages(messages: Sequence[Message], special: Sequence[str]) -> list[Message]:
    """Special tokens typed by a user, such as an end of turn, become plain text.

    Answers are not changed: they are what the model learns to write, to the letter.
    """
    return [
        message
        if message["role"] == "assistant"
        else cast(Message, message | {"content": _escape(message["content"], special)})
        for message in messages
    ]


def _escape(value: Any, special: Sequence[str]) -> Any:
    """Texts in which a word joiner after the first character of each special token keeps the
    tokenizer from reading it as one; also within lists and mappings."""
    if isinstance(value, str):
        for token in special:
            if len(token) > 1 and token in value:
                value = value.replace(token, f"{token[0]}{WORD_JOINER}{token[1:]}")
        return value
    if isinstance(value, list):
        return [_escape(one, special) for one in value]
    if isinstance(value, Mapping):
        return {key: _escape(one, special) for key, one in value.items()}
    return value


def merge_system_into_user(messages: Sequence[Any]) -> list[Any]:
    """Instructions moved into the first question, for templates without a system role."""
    instructions, *rest = messages
    if not rest or rest[0]["role"] != "user":
        return [{"role": "user", "content": instructions["content"]}, *rest]
    question = {
        "role": "user",
        "content": f"{instructions['content']}\n\n{rest[0]['content']}",
    }
    return [question, *rest[1:]]

"""How a chat template writes calls, asked of the template itself as in chat_template.py."""

import re
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from finetune_app.core.chat_messages import Message
from finetune_app.core.tool_calls import MARKS
from worker.channel import UserError
from worker.chat_template import (
    SAMPLE_CALL,
    SAMPLE_TOOL,
    once_a_template,
    render,
    tool_problem,
)
from worker.template import stop_token_ids

NAME, ARGUMENTS = "sample_tool", '{"word": "a"}'  # as the sample call has them
OPENING = re.compile(rf'(?:{MARKS.pattern})|[\[{{\s]*"name"')
QUESTION: Message = {"role": "user", "content": "a"}


@dataclass(frozen=True)
class CallFormat:
    """The text around the names and the arguments of calls, for example of Qwen3:

    opening `<tool_call>`, before_name `{"name": "`, before_arguments `", "arguments": `,
    after `}</tool_call>`, and between two calls `}</tool_call><tool_call>{"name": "`, each with its
    line breaks.

    opening: a mark, or up to `"name"` where the template has none. No other text begins like this.
    between: None where the template takes one call at a time.
    """

    opening: str
    before_name: str
    before_arguments: str
    after: str
    between: str | None = None

    @property
    def has_mark(self) -> bool:
        return MARKS.fullmatch(self.opening) is not None


# Read by `calls_in` from every model.
BARE_CALL = CallFormat('{"name"', ': "', '", "arguments": ', "}")


@once_a_template
def call_format(tokenizer: PreTrainedTokenizerBase) -> CallFormat | None:
    """None where the template has no tools, or writes calls in parts that are not found here."""
    if tool_problem(tokenizer):
        return None
    before_name, _name, rest = _written(tokenizer, 1).lstrip().partition(NAME)
    before_arguments, has_arguments, after = rest.partition(ARGUMENTS)
    opening = OPENING.match(before_name)
    if not has_arguments or not opening:
        return None
    before_name = before_name.removeprefix(opening[0])
    between = _between(tokenizer, before_arguments)
    return CallFormat(opening[0], before_name, before_arguments, after, between)


def _between(tokenizer: PreTrainedTokenizerBase, before_arguments: str) -> str | None:
    """The text between the arguments of a call and the name of the next one."""
    try:
        written = _written(tokenizer, 2)
    except UserError:
        return None
    parts = written.split(f"{NAME}{before_arguments}{ARGUMENTS}")
    return parts[1] if len(parts) == 3 else None


def _written(tokenizer: PreTrainedTokenizerBase, calls: int) -> str:
    """What the template writes for an answer of that many calls, without its end of turn.

    Raises UserError when the template rejects it.
    """
    tools = [SAMPLE_TOOL]
    message = SAMPLE_CALL | {"tool_calls": SAMPLE_CALL["tool_calls"] * calls}
    prompt = render(tokenizer, [QUESTION], tools, add_generation_prompt=True)
    text = render(tokenizer, [QUESTION, message], tools, add_generation_prompt=False)
    text = text.removeprefix(prompt)
    for token in stop_token_ids(tokenizer):
        text = text.partition(str(tokenizer.decode([token])))[0]
    return text

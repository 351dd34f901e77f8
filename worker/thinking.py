"""Thinking models: whether a chat template has thoughts, and the tokens around one.

A thought stands before an answer, as <think>, a line break, the thought, a line break, </think>, an
empty line. That is the form of Qwen3, SmolLM3 and most others; a template that differs is treated
as one without thinking.
"""

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from finetune_app.core.chat_messages import Message
from finetune_app.core.thinking import THOUGHT_END, THOUGHT_START, with_thought
from worker.channel import UserError
from worker.chat_template import once_a_template, render

OPENING = f"{THOUGHT_START}\n"
CANNOT_THINK = (
    "This base model does not think before it answers. Choose “No” for its thinking, or another "
    "base model."
)


@dataclass(frozen=True)
class ThoughtTokens:
    """Token ids. end: of </think>. gap: between it and the answer. cut: those that end a thought in
    the middle of a sentence, `end` and `gap` included."""

    end: int
    gap: list[int]
    cut: list[int]


@once_a_template
def can_think(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether thinking can be switched on and off, and is written as this module expects."""
    if None in (_token_id(tokenizer, THOUGHT_START), _token_id(tokenizer, THOUGHT_END)):
        return False
    question: Message = {"role": "user", "content": "a"}
    answer: Message = {"role": "assistant", "content": "b", "reasoning_content": "c"}
    try:
        off = render(tokenizer, [question], add_generation_prompt=True)
        on = render(tokenizer, [question], add_generation_prompt=True, thinking=True)
        taught = render(tokenizer, [question, answer], add_generation_prompt=False, thinking=True)
    except UserError:
        return False
    return off != on and taught.startswith(on + with_thought("b", "c"))


@once_a_template
def thought_tokens(tokenizer: PreTrainedTokenizerBase) -> ThoughtTokens | None:
    """None for a model that cannot think."""
    if not can_think(tokenizer):
        return None
    end = _token_id(tokenizer, THOUGHT_END)
    assert end is not None
    # Of a whole text, because some tokenizers split line breaks before a letter.
    written = _encode(tokenizer, with_thought("b", "c"))
    gap = written[written.index(end) + 1 : -1]
    return ThoughtTokens(end, gap, [*_encode(tokenizer, "\n"), end, *gap])


def _token_id(tokenizer: PreTrainedTokenizerBase, text: str) -> int | None:
    """None where the text is not one token."""
    token_ids = _encode(tokenizer, text)
    return token_ids[0] if len(token_ids) == 1 else None


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])

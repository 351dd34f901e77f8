"""Toxicity and token counts of texts, which need heavy libraries."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetune_app.checks.row_texts import row_texts
from finetune_app.core.chat_messages import Message
from finetune_app.core.thinking import with_thought
from worker.channel import UserError

MAX_CHARACTERS = 5_000  # that are scored
MAX_SENTENCES = 30
CERTAIN_SCORE = 0.95  # score from which a single sentence counts
_END = re.compile(r"(?<=[.!?])\s+|\n")


def toxicity(conversations: Sequence[list[Message]], languages: Sequence[str]) -> list[float]:
    """The probability that each conversation is offensive.

    Only English and texts of unknown language ("") are scored: the German “die” is an article.
    """
    from profanity_check import predict_prob

    parts = [
        _sentences(messages) if language in ("en", "") else []
        for messages, language in zip(conversations, languages, strict=True)
    ]
    every = [part for some in parts for part in some]
    scores = iter(predict_prob(every).tolist() if every else [])
    return [round(_highest([next(scores) for _part in some]), 3) for some in parts]


def _highest(scores: list[float]) -> float:
    """The score of the whole text, or a higher one of a sentence that is certain."""
    return max([*scores[:1], *(one for one in scores[1:] if one >= CERTAIN_SCORE)], default=0.0)


def _sentences(messages: list[Message]) -> list[str]:
    """The whole text, then its sentences: a single rude one hardly changes the whole score."""
    texts = row_texts([one for one in messages if one.get("role") != "system"])
    text = "\n".join(filter(None, texts))[:MAX_CHARACTERS]
    parts = [part.strip() for part in _END.split(text) if part.strip()]
    return [text, *parts[:MAX_SENTENCES]] if len(parts) > 1 else [text]


class TokenCounter:
    """Counts tokens with one base model's tokenizer; nothing if it cannot be read."""

    def __init__(self, folder: str) -> None:
        self._tokenizer: Any = None
        if not folder:
            return
        from worker import template

        try:
            self._tokenizer = template.load_tokenizer(Path(folder))
        except UserError:
            return
        self._ready = template.Renderer(self._tokenizer)

    def count(self, conversations: Sequence[list[Message]]) -> list[tuple[int, int]] | None:
        """Tokens of each (whole example, last message with its end-of-turn token)."""
        if self._tokenizer is None:
            return None
        whole = [self._ready.text(messages) for messages in conversations]
        last = [_last(*pair) for pair in zip(conversations, whole, strict=True)]
        ids = self._tokenizer([*whole, *last], add_special_tokens=False)["input_ids"]
        sizes = [len(one) for one in ids]
        return [(a, b + 1) for a, b in zip(sizes[: len(whole)], sizes[len(whole) :], strict=True)]


def _last(messages: list[Message], rendered: str) -> str:
    """The last message, behind its thought where the template writes thoughts."""
    last = messages[-1] if messages else None
    text = str(last.get("content", "")) if last else ""
    thought = last.get("reasoning_content", "") if last else ""
    return with_thought(text, thought) if thought and thought in rendered else text

"""What takes a heavy library: how rude a text is, and how many tokens it has."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finetune_app.core.chat_messages import Message
from worker.channel import UserError

LONGEST = 5_000  # characters that are judged
MOST_SENTENCES = 30
BEYOND_DOUBT = 0.95
_END = re.compile(r"(?<=[.!?])\s+|\n")


def toxicity(conversations: Sequence[list[Message]], languages: Sequence[str]) -> list[float]:
    """The probability (0 to 1) that somebody would take offence. `languages` are codes; only
    English, and what is too short to tell, is judged: to others “die” is only an article."""
    from profanity_check import predict_prob

    parts = [
        _sentences(said) if language in ("en", "") else []
        for said, language in zip(conversations, languages, strict=True)
    ]
    every = [part for some in parts for part in some]
    rude = iter(predict_prob(every).tolist() if every else [])
    return [round(_worst([next(rude) for _part in some]), 3) for some in parts]


def _worst(rude: list[float]) -> float:
    """Of the whole text, or of one sentence if that is beyond doubt."""
    return max([*rude[:1], *(one for one in rude[1:] if one >= BEYOND_DOUBT)], default=0.0)


def _sentences(said: list[Message]) -> list[str]:
    """What is judged by itself: one rude sentence among polite ones would be lost otherwise."""
    texts = [str(one.get("content", "")) for one in said if one.get("role") != "system"]
    text = "\n".join(texts)[:LONGEST]
    parts = [part.strip() for part in _END.split(text) if part.strip()]
    return [text, *parts[:MOST_SENTENCES]] if len(parts) > 1 else [text]


class TokenCounter:
    """Lengths as one base model counts them; none where its tokenizer cannot be read."""

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
        """(whole example, its answer with the end of the turn) for each, in tokens."""
        if self._tokenizer is None:
            return None
        whole = [self._ready.text(said) for said in conversations]
        last = [str(said[-1].get("content", "")) if said else "" for said in conversations]
        ids = self._tokenizer([*whole, *last], add_special_tokens=False)["input_ids"]
        sizes = [len(one) for one in ids]
        return [(a, b + 1) for a, b in zip(sizes[: len(whole)], sizes[len(whole) :], strict=True)]

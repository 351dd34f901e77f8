"""One answer in the making: its tokens, how the next one is chosen, and its text so far."""

from __future__ import annotations

import threading
import time
from typing import Any

import torch
from torch import Tensor

from worker.engine.logprobs import LogprobRecorder, TokenLogprob
from worker.engine.requests import Completion, GenerationRequest, TextWithLogprobs
from worker.engine.structured_output import SchemaConstraint, UnsupportedSchema


class SequenceState:
    """An answer being written.

    prompt: token ids of the conversation. adapter: the name `Adapters.load` gave.
    room: most tokens this answer may have. unwanted: set by anybody, at any time, once nobody
    wants the answer any more. logprobs: notes how likely its tokens were. constraint: keeps
    them to a
    form. `failure`: why the answer cannot go on.
    """

    def __init__(
        self,
        request: GenerationRequest,
        prompt: list[int],
        adapter: str,
        room: int,
        ends: frozenset[int],
        unwanted: threading.Event | None = None,
        logprobs: LogprobRecorder | None = None,
        constraint: SchemaConstraint | None = None,
    ) -> None:
        self.request, self.prompt, self.adapter = request, prompt, adapter
        self.room, self.ends = room, ends
        self.written: list[int] = []
        self.finish_reason: str | None = None
        self.unwanted = unwanted or threading.Event()
        self.joined_at = time.monotonic()
        self.logprobs, self.constraint = logprobs, constraint
        self.failure: Exception | None = None
        # Most rows take the likeliest token, which is worked out for the whole batch at once.
        self._penalised = bool(request.presence_penalty or request.frequency_penalty)
        self.chooses = bool(request.temperature > 0 or logprobs or constraint or self._penalised)
        self.told: list[TokenLogprob] = []
        self._generator = torch.Generator().manual_seed(request.seed)
        self._sent = 0  # characters
        self._seen = 0  # tokens whose likelihood was told, or need not be
        self._cut: int | None = None  # where a stop string ends the text

    @property
    def cancelled(self) -> bool:
        return self.unwanted.is_set()

    @property
    def over(self) -> bool:
        """Nothing more is to be written."""
        return bool(self.finish_reason or self.failure or self.cancelled)

    @property
    def length(self) -> int:
        """Tokens the model has read or written so far."""
        return len(self.prompt) + len(self.written)

    @property
    def last_token(self) -> int:
        return self.written[-1] if self.written else self.prompt[-1]

    def choose(self, logits: Tensor, likeliest: int) -> int:
        """The next token from `logits` (vocabulary,) as the request asks. `likeliest` is the one
        that rows without wishes take: of two that are equally likely, the same for all."""
        scores = logits.float().cpu()
        try:
            token = self._pick(scores, likeliest)
        except UnsupportedSchema as problem:  # this row's alone; the others go on
            self.failure = problem
            return min(self.ends, default=0)
        if self.logprobs:
            self.logprobs.record(scores, token)
        return token

    def _pick(self, scores: Tensor, likeliest: int) -> int:
        drawn = self.request.temperature > 0
        if not (drawn or self.constraint or self._penalised):
            return likeliest
        open_ones = self._less_of_the_same(scores) if self._penalised else scores
        open_ones = self.constraint.mask_logits(open_ones) if self.constraint else open_ones
        token = self._draw(open_ones) if drawn else int(open_ones.argmax())
        if self.constraint and token not in self.ends:
            self.constraint.advance(token)
        return token

    def _less_of_the_same(self, scores: Tensor) -> Tensor:
        times = torch.bincount(torch.tensor(self.written, dtype=torch.long), minlength=len(scores))
        once = self.request.presence_penalty * (times > 0)
        return scores - once - self.request.frequency_penalty * times

    def _draw(self, scores: Tensor) -> int:
        probabilities = torch.softmax(scores / self.request.temperature, dim=-1)
        if self.request.top_p < 1.0:
            sorted_p, order = probabilities.sort(descending=True)
            # Keep a token while those before it hold less than top_p: at least one stays.
            keep = sorted_p.cumsum(0) - sorted_p < self.request.top_p
            probabilities = torch.zeros_like(probabilities).scatter(0, order, sorted_p * keep)
        return int(torch.multinomial(probabilities, 1, generator=self._generator))

    def add(self, token: int) -> None:
        """Write one token and decide whether the answer is over."""
        self.written.append(token)
        if token in self.ends:
            self.finish_reason = "stop"
        elif len(self.written) >= self.room:
            self.finish_reason = "length"

    def new_text(self, tokenizer: Any) -> str:
        """Text not handed out yet. Holds back half characters and beginnings of a stop string."""
        text = self._decode(tokenizer)
        for stop in self.request.stop:
            found = text.find(stop)
            if found >= 0:
                text = text[:found]
                self._cut, self.finish_reason = found, "stop"
        until = len(text)
        if self.finish_reason is None:
            until -= _held_back(text, self.request.stop)
        piece = text[self._sent : until]
        self._sent = max(self._sent, until)
        return piece

    def news(self, tokenizer: Any) -> str:
        """`new_text`, with how likely its tokens were where that was asked."""
        text = self.new_text(tokenizer)
        if self.logprobs is None:
            return text
        ready = self._ready(tokenizer, self.logprobs)
        self.told += ready
        return TextWithLogprobs(text, ready)

    def _ready(self, tokenizer: Any, logprobs: LogprobRecorder) -> list[TokenLogprob]:
        """Entries of the tokens whose text is out by now, in their order.

        Several tokens may make one character; what a stop string cuts off is never told.
        """
        whole, ready = len(self._decode(tokenizer)), []
        while self._seen < len(self.written):
            start, end = (
                min(whole, len(self._decode(tokenizer, n))) for n in (self._seen, self._seen + 1)
            )
            over = self.finish_reason is not None
            if end > self._sent and not (over and start < self._sent):
                break
            if self.written[self._seen] not in logprobs.vocabulary.hidden:
                ready.append(logprobs.entries[self._seen])
            self._seen += 1
        return ready

    def completion(self, tokenizer: Any) -> Completion:
        """The finished answer."""
        text = self._decode(tokenizer)
        return Completion(
            text=text if self._cut is None else text[: self._cut],
            tokens=len(self.written),
            finish_reason=self.finish_reason or "cancelled",
            seconds=time.monotonic() - self.joined_at,
            prompt_tokens=len(self.prompt),
            token_ids=list(self.written),
            logprobs=self.told if self.logprobs else None,
        )

    def _decode(self, tokenizer: Any, count: int | None = None) -> str:
        """The text of the first `count` tokens, or of all."""
        return str(tokenizer.decode(self.written[:count], skip_special_tokens=True))


def _held_back(text: str, stops: tuple[str, ...]) -> int:
    """How many characters at the end must wait for the next token."""
    if text.endswith("�"):  # a character whose last bytes are still to come
        return len(text) - len(text.rstrip("�"))
    for size in range(max((len(s) for s in stops), default=1) - 1, 0, -1):
        if any(len(s) > size and text.endswith(s[:size]) for s in stops):
            return size
    return 0

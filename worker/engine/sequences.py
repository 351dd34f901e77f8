"""State of one answer: its tokens, how the next one is selected, and its text so far."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import torch
from torch import Tensor

from worker.engine.drafts import Drafts
from worker.engine.growing_text import GrowingText
from worker.engine.logprobs import LogprobRecorder
from worker.engine.prefix_cache import Scope
from worker.engine.requests import (
    Completion,
    EngineFailed,
    GenerationRequest,
    TextWithLogprobs,
    ThoughtText,
    TokenLogprob,
)
from worker.engine.structured_output import GrammarConstraint, UnsupportedSchema
from worker.engine.thought import Thought
from worker.template import REPLACEMENT

log = logging.getLogger(__name__)


class SequenceState:
    """A sequence of the batch: a prompt, and the answer that is being written.

    adapter: name that `Adapters.load` returned.
    max_new_tokens: most tokens of this answer and its thought; at most what the context has room
        for.
    cancel_event: set from any thread to stop generating.
    error: why the answer cannot continue.
    """

    def __init__(
        self,
        request: GenerationRequest,
        prompt_token_ids: list[int],
        adapter: str,
        max_new_tokens: int,
        eos_token_ids: frozenset[int],
        cancel_event: threading.Event | None = None,
        logprobs: LogprobRecorder | None = None,
        constraint: GrammarConstraint | None = None,
        thought: Thought | None = None,
    ) -> None:
        self.request, self.prompt_token_ids, self.adapter = request, prompt_token_ids, adapter
        self.max_new_tokens, self.eos_token_ids = max_new_tokens, eos_token_ids
        self.output_token_ids: list[int] = []
        self.cached_tokens = 0  # whose keys and values are in the cache
        self.drafts = Drafts()
        self.scope: Scope = ()  # with whom it shares them; the decoder sets it
        self.finish_reason: str | None = None
        self.cancel_event = cancel_event or threading.Event()
        self.started_at = time.monotonic()
        self.logprobs, self.constraint, self.thought = logprobs, constraint, thought
        self.error: Exception | None = None
        self._penalised = bool(request.presence_penalty or request.frequency_penalty)
        # Most sequences decode greedily, by one argmax over the whole batch.
        self.needs_logits = bool(request.is_sampled or logprobs or constraint or self._penalised)
        self._emitted_logprobs: list[TokenLogprob] = []
        self._generator = torch.Generator().manual_seed(request.seed)
        self._text, self._thought_text = GrowingText(), GrowingText()
        self._sent_characters = 0  # of the answer
        self._sent_thought_characters = 0
        # Tokens of the answer whose log-probability was sent, or is not sent at all.
        self._sent_tokens = 0
        self._stopped_at: int | None = None  # character at which a stop string begins

    @property
    def cancelled(self) -> bool:
        return self.cancel_event.is_set()

    @property
    def is_finished(self) -> bool:
        return bool(self.finish_reason or self.error or self.cancelled)

    @property
    def is_thinking(self) -> bool:
        """Whether the answer has not begun yet."""
        return self.thought is not None and not self.thought.has_ended

    @property
    def thought_length(self) -> int:
        """Tokens of the thought so far, those that end it included."""
        return self.thought.length if self.thought else 0

    @property
    def length(self) -> int:
        """Tokens of the prompt, the thought and the answer so far."""
        return len(self.prompt_token_ids) + len(self.output_token_ids)

    @property
    def token_ids(self) -> list[int]:
        """Of the prompt, the thought and the answer so far."""
        return self.prompt_token_ids + self.output_token_ids

    @property
    def unread_tokens(self) -> int:
        """Tokens whose keys and values are not in the cache yet; 1 while it writes."""
        return self.length - self.cached_tokens

    @property
    def room(self) -> int:
        """How many tokens may still be written."""
        return self.max_new_tokens - len(self.output_token_ids)

    @property
    def may_be_guessed(self) -> bool:
        """Whether the next tokens may be written several at once: greedy ones that nothing stops
        half-way."""
        return not (self.needs_logits or self.request.stop or self.is_finished)

    @property
    def last_token(self) -> int:
        return self.output_token_ids[-1] if self.output_token_ids else self.prompt_token_ids[-1]

    def select_token(self, logits: Tensor, argmax: int) -> int:
        """Select the next token from `logits` (vocabulary,) as the request asks.

        argmax: the greedy choice, computed for the whole batch, so that ties are broken the same
        way for every sequence. Where the selection fails, only this sequence does: see `error`.
        """
        logits = logits.float().cpu()
        try:
            token = self._sample(logits, argmax)
            if self.logprobs and not self.is_thinking:
                self.logprobs.record(logits, token)
            return token
        except UnsupportedSchema as error:
            if not self.request.needs_form:
                self.constraint = None
                return self.select_token(logits, argmax)
            self.error = error
        except Exception as error:
            log.exception("selecting a token failed")
            self.error = EngineFailed(f"The model broke down while answering: {error}")
        return min(self.eos_token_ids, default=0)

    def _sample(self, logits: Tensor, argmax: int) -> int:
        sampled = self.request.is_sampled
        constraint = None if self.is_thinking else self.constraint
        if not (sampled or constraint or self._penalised):
            return argmax
        token = argmax
        if sampled or self._penalised or not (constraint and constraint.allows(argmax)):
            adjusted = self._penalise(logits) if self._penalised else logits
            adjusted = constraint.mask_logits(adjusted) if constraint else adjusted
            token = self._draw(adjusted) if sampled else int(adjusted.argmax())
        if constraint and token not in self.eos_token_ids:
            constraint.advance(token)
        return token

    def _penalise(self, logits: Tensor) -> Tensor:
        part = self.output_token_ids[0 if self.is_thinking else self.thought_length :]
        written = torch.tensor(part, dtype=torch.long)
        counts = torch.bincount(written, minlength=len(logits))
        presence = self.request.presence_penalty * (counts > 0)
        return logits - presence - self.request.frequency_penalty * counts

    def _draw(self, logits: Tensor) -> int:
        probabilities = torch.softmax(logits / self.request.temperature, dim=-1)
        if self.request.top_p < 1.0:
            sorted_p, order = probabilities.sort(descending=True)
            # A token stays while those before it add up to less than top_p: at least one stays.
            keep = sorted_p.cumsum(0) - sorted_p < self.request.top_p
            probabilities = torch.zeros_like(probabilities).scatter(0, order, sorted_p * keep)
        return int(torch.multinomial(probabilities, 1, generator=self._generator))

    def append(self, token: int) -> None:
        """Add a token to the thought or the answer and decide whether the answer has ended."""
        if self.thought and self.is_thinking:
            token = self.thought.next_token(token)
        elif token in self.eos_token_ids:
            self.finish_reason = "stop"
        self.output_token_ids.append(token)
        full = len(self.output_token_ids) >= self.max_new_tokens
        answer_length = len(self.output_token_ids) - self.thought_length
        full = full or answer_length >= self.request.max_new_tokens
        if full and not self.finish_reason:
            self.finish_reason = "length"

    def end_thought(self, tokenizer: Any) -> ThoughtText:
        """Write the rest of what ends the thought, so that the answer can begin.

        Returns the text of the thought that was not sent yet.
        """
        while self.thought and self.is_thinking and not self.is_finished:
            self.thought.cut()
            self.append(self.output_token_ids[-1] if self.output_token_ids else 0)
        return self._next_thought_text(tokenizer)

    def next_text(self, tokenizer: Any) -> str:
        """Text that was not sent yet; incomplete characters and stop strings are held back."""
        text = self._decode(tokenizer)
        for stop in self.request.stop:
            found = text.find(stop)
            if found >= 0:
                text = text[:found]
                self._stopped_at, self.finish_reason = found, "stop"
        until = len(text)
        if self.finish_reason is None:
            until -= _held_back(text, self.request.stop)
        new = text[self._sent_characters : until]
        self._sent_characters = max(self._sent_characters, until)
        return new

    def next_chunk(self, tokenizer: Any) -> str:
        """`next_text`, with the log-probabilities of its tokens where requested; or the text of the
        thought that was not sent yet."""
        if self.is_thinking:
            return self._next_thought_text(tokenizer)
        text = self.next_text(tokenizer)
        if self.logprobs is None:
            return text
        ready = self._sent_logprobs(tokenizer, self.logprobs)
        self._emitted_logprobs += ready
        return TextWithLogprobs(text, ready)

    def _next_thought_text(self, tokenizer: Any) -> ThoughtText:
        text = self._decode_thought(tokenizer)
        is_whole = self.thought is None or self.thought.is_ending
        until = len(text) - (0 if is_whole else _held_back(text, ()))
        new = text[self._sent_thought_characters : until]
        self._sent_thought_characters = max(self._sent_thought_characters, until)
        return ThoughtText(new)

    def _sent_logprobs(self, tokenizer: Any, logprobs: LogprobRecorder) -> list[TokenLogprob]:
        """Entries of the tokens whose text has been sent by now, in order.

        Several tokens may form one character. Tokens cut off by a stop string are never sent.
        """
        written = self.output_token_ids[self.thought_length :]
        whole, ready = len(self._decode(tokenizer)), []
        ends = [0, *self._text.lengths]
        while self._sent_tokens < len(written):
            start, end = (min(whole, ends[n]) for n in (self._sent_tokens, self._sent_tokens + 1))
            ended = self.finish_reason is not None
            if end > self._sent_characters and not (ended and start < self._sent_characters):
                break
            if written[self._sent_tokens] not in logprobs.vocabulary.hidden:
                ready.append(logprobs.entries[self._sent_tokens])
            self._sent_tokens += 1
        return ready

    def completion(self, tokenizer: Any) -> Completion:
        """The finished answer."""
        text = self._decode(tokenizer)
        return Completion(
            text=text if self._stopped_at is None else text[: self._stopped_at],
            tokens=len(self.output_token_ids),
            finish_reason=self.finish_reason or "cancelled",
            seconds=time.monotonic() - self.started_at,
            prompt_tokens=len(self.prompt_token_ids),
            token_ids=list(self.output_token_ids),
            logprobs=self._emitted_logprobs if self.logprobs else None,
            thought=self._decode_thought(tokenizer).strip(),
            thought_tokens=self.thought_length,
        )

    def _decode(self, tokenizer: Any) -> str:
        """The text of the answer so far."""
        if self.is_thinking:
            return ""
        return self._text.decode(tokenizer, self.output_token_ids[self.thought_length :])

    def _decode_thought(self, tokenizer: Any) -> str:
        if self.thought is None:
            return ""
        return self._thought_text.decode(
            tokenizer, self.output_token_ids[: self.thought.text_length]
        )


def _held_back(text: str, stops: tuple[str, ...]) -> int:
    """How many characters at the end have to wait for the next token."""
    whole = text.rstrip(REPLACEMENT)  # the last bytes of the others are still to come
    broken = len(text) - len(whole)
    for size in range(max((len(s) for s in stops), default=1) - 1, 0, -1):
        if any(len(s) > size and whole.endswith(s[:size]) for s in stops):
            return size + broken
    return broken

"""What a thinking model writes before its answer, and where it ends."""

from __future__ import annotations

from collections import deque

from worker.engine.requests import GenerationRequest
from worker.thinking import ThoughtTokens


class Thought:
    """The thought of one answer. The prompt ends with its beginning.

    A model that has not come to an end within the budget, or wants to end without an answer, is
    made to go on with the answer: the tokens that end a thought are written for it.

    budget: most tokens of the thought, those that end it left out.
    length: tokens written so far; once the thought has ended, where the answer begins.
    """

    def __init__(self, budget: int, tokens: ThoughtTokens, eos_token_ids: frozenset[int]) -> None:
        self._budget, self._tokens, self._eos_token_ids = budget, tokens, eos_token_ids
        self._forced: deque[int] = deque()
        self.has_ended = False
        self.length = 0
        self.text_length = 0  # without the tokens that end it

    @classmethod
    def for_request(
        cls,
        request: GenerationRequest,
        tokens: ThoughtTokens | None,
        eos_token_ids: frozenset[int],
    ) -> Thought | None:
        """None for a request to answer at once, or for a model that cannot think: such a prompt
        was refused before."""
        thinks = tokens and request.thinks and request.prompt is None
        return cls(request.thought_tokens, tokens, eos_token_ids) if tokens and thinks else None

    def next_token(self, token: int) -> int:
        """The token that is written where the model chose `token`."""
        if not self._forced:
            if token == self._tokens.end:
                self._forced.extend([token, *self._tokens.gap])
            elif self.text_length >= self._budget or token in self._eos_token_ids:
                self.cut()
        self.length += 1
        if not self._forced:
            self.text_length += 1
            return token
        token = self._forced.popleft()
        self.has_ended = not self._forced
        return token

    @property
    def is_ending(self) -> bool:
        """Whether its text is complete."""
        return self.length > self.text_length

    def cut(self) -> None:
        """Write what ends it, unless that has begun."""
        if not self._forced:
            self._forced.extend(self._tokens.cut)

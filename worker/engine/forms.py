"""Answers in a form: a token that would leave the JSON schema is never chosen.

llguidance reads the schema and says before each token which ones may come next. What it spends on
one schema and on one token is bounded by its own limits, so a hostile schema ends in BadForm.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worker.engine.vocabulary import Vocabulary

MOST_KEPT = 32  # schemas
# White space of any usual layout, but not without end: a model that is lost would write nothing
# else. What a schema asks that cannot be held to is an error, never let pass.
RULES: Any = {
    "whitespace_pattern": r"[\x20\x0A\x0D\x09]{0,32}",
    "lenient": False,
    "coerce_one_of": False,
}


class BadForm(ValueError):
    """This schema cannot be followed; the message says why. `param`: what asked for it."""

    param = "response_format"


class Forms:
    """The schemas read for one base model; the longest unused are forgotten. Thread-safe."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()
        # What may come next is worked out while the model computes: both leave Python alone.
        self._beside = ThreadPoolExecutor(2, thread_name_prefix="forms")

    def read(self, schema: str) -> Any:
        """A matcher at the beginning of the schema (JSON as text). Raises BadForm."""
        tokens = self._vocabulary.tokens
        with self._lock:
            if schema not in self._kept:
                self._kept[schema] = _read(tokens, schema)
            self._kept.move_to_end(schema)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return self._kept[schema]

    def guide(self, schema: str) -> Guide:
        """For one answer. Raises BadForm."""
        return Guide(self.read(schema).deep_copy(), self._beside)


class Guide:
    """Follows one answer through its form."""

    def __init__(self, matcher: Any, beside: ThreadPoolExecutor) -> None:
        self._matcher, self._beside = matcher, beside
        self._allowed: Future[bytes] = beside.submit(matcher.compute_bitmask)

    def narrow(self, scores: Tensor) -> Tensor:
        """`scores` (vocabulary,) with minus infinity for what may not come next."""
        bits = np.frombuffer(self._allowed.result(), np.uint8)
        self._check()
        allowed = np.unpackbits(bits, count=len(scores), bitorder="little").astype(bool)
        return scores.masked_fill(~torch.from_numpy(allowed), -torch.inf)

    def advance(self, token: int) -> None:
        """This one was written."""
        self._matcher.consume_token(token)
        self._check()
        self._allowed = self._beside.submit(self._matcher.compute_bitmask)

    def _check(self) -> None:
        if self._matcher.is_error():
            raise BadForm(
                "The answer's form became too complex while it was being written. Ask for a "
                "simpler schema."
            )


def _read(tokens: Any, schema: str) -> Any:
    from llguidance import LLMatcher

    try:
        grammar = LLMatcher.grammar_from_json_schema(schema, overrides=RULES)
    except ValueError as problem:
        raise _unreadable(str(problem)) from None
    why = LLMatcher.validate_grammar(grammar, tokens)
    if why:
        raise _unreadable(why)
    matcher = LLMatcher(tokens, grammar, log_level=0)
    matcher.compute_bitmask()  # the first one is the dearest, and finds forms that nothing fits
    if matcher.is_error():
        raise _unreadable("nothing can be written that fits it, or it is too complex")
    return matcher


def _unreadable(why: str) -> BadForm:
    line = why.strip().splitlines()[0][:200] if why.strip() else "unknown"
    return BadForm(f"This JSON schema cannot be followed: {line.rstrip('.')}.")

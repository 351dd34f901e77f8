"""Answers in a form: a token that would leave the JSON schema is never chosen.

llguidance reads the schema and says before each token which ones may come next. What it spends on
one schema and on one token is bounded by its own limits, so a hostile schema ends in
UnsupportedSchema.
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

MAX_SCHEMAS = 32  # schemas
# White space of any usual layout, but not without end: a model that is lost would write nothing
# else. What a schema asks that cannot be held to is an error, never let pass.
SCHEMA_OPTIONS: Any = {
    "whitespace_pattern": r"[\x20\x0A\x0D\x09]{0,32}",
    "lenient": False,
    "coerce_one_of": False,
}


class UnsupportedSchema(ValueError):
    """This schema cannot be followed; the message says why. `param`: what asked for it."""

    param = "response_format"


class SchemaCache:
    """The schemas read for one base model; the longest unused are forgotten. Thread-safe."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()
        # What may come next is worked out while the model computes: both leave Python alone.
        self._executor = ThreadPoolExecutor(2, thread_name_prefix="forms")

    def matcher(self, schema: str) -> Any:
        """A matcher at the beginning of the schema (JSON as text). Raises UnsupportedSchema."""
        tokens = self._vocabulary.tokens
        with self._lock:
            if schema not in self._kept:
                self._kept[schema] = _compile(tokens, schema)
            self._kept.move_to_end(schema)
            while len(self._kept) > MAX_SCHEMAS:
                self._kept.popitem(last=False)
            return self._kept[schema]

    def constraint(self, schema: str) -> SchemaConstraint:
        """For one answer. Raises UnsupportedSchema."""
        return SchemaConstraint(self.matcher(schema).deep_copy(), self._executor)


class SchemaConstraint:
    """Follows one answer through its form."""

    def __init__(self, matcher: Any, executor: ThreadPoolExecutor) -> None:
        self._matcher, self._executor = matcher, executor
        self._allowed: Future[bytes] = executor.submit(matcher.compute_bitmask)

    def mask_logits(self, scores: Tensor) -> Tensor:
        """`scores` (vocabulary,) with minus infinity for what may not come next."""
        bits = np.frombuffer(self._allowed.result(), np.uint8)
        self._check()
        allowed = np.unpackbits(bits, count=len(scores), bitorder="little").astype(bool)
        return scores.masked_fill(~torch.from_numpy(allowed), -torch.inf)

    def advance(self, token: int) -> None:
        """This one was written."""
        self._matcher.consume_token(token)
        self._check()
        self._allowed = self._executor.submit(self._matcher.compute_bitmask)

    def _check(self) -> None:
        if self._matcher.is_error():
            raise UnsupportedSchema(
                "The answer's form became too complex while it was being written. Ask for a "
                "simpler schema."
            )


def _compile(tokens: Any, schema: str) -> Any:
    from llguidance import LLMatcher

    try:
        grammar = LLMatcher.grammar_from_json_schema(schema, overrides=SCHEMA_OPTIONS)
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


def _unreadable(why: str) -> UnsupportedSchema:
    line = why.strip().splitlines()[0][:200] if why.strip() else "unknown"
    return UnsupportedSchema(f"This JSON schema cannot be followed: {line.rstrip('.')}.")

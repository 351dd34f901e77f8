"""Structured output: tokens that would violate a JSON schema are never selected.

llguidance compiles the schema and gives, before each token, a bitmask of the allowed ones. Its
own limits bound what a schema and a token may cost, so a hostile schema ends in
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

MAX_SCHEMAS = 32
# White space of any usual layout, but bounded: a model that is lost would write nothing else.
# A keyword of the schema that cannot be enforced is an error; it is never ignored.
SCHEMA_OPTIONS: Any = {
    "whitespace_pattern": r"[\x20\x0A\x0D\x09]{0,32}",
    "lenient": False,
    "coerce_one_of": False,
}


class UnsupportedSchema(ValueError):
    """The schema cannot be followed; the message says why. `param`: what is at fault."""

    param = "response_format"


class SchemaCache:
    """Compiled schemas of one base model; the least recently used are evicted. Thread-safe."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._matchers: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()
        # Masks are computed while the model computes: both release the GIL.
        self._executor = ThreadPoolExecutor(2, thread_name_prefix="schemas")

    def matcher(self, schema: str) -> Any:
        """An `LLMatcher` at the start of the schema (JSON as text). Raises UnsupportedSchema."""
        tokens = self._vocabulary.tokens
        with self._lock:
            if schema not in self._matchers:
                self._matchers[schema] = _compile(tokens, schema)
            self._matchers.move_to_end(schema)
            while len(self._matchers) > MAX_SCHEMAS:
                self._matchers.popitem(last=False)
            return self._matchers[schema]

    def constraint(self, schema: str) -> SchemaConstraint:
        """A constraint for one answer. Raises UnsupportedSchema."""
        return SchemaConstraint(self.matcher(schema).deep_copy(), self._executor)


class SchemaConstraint:
    """Restricts one answer to its schema, token by token."""

    def __init__(self, matcher: Any, executor: ThreadPoolExecutor) -> None:
        self._matcher, self._executor = matcher, executor
        self._allowed: Future[bytes] = executor.submit(matcher.compute_bitmask)

    def mask_logits(self, logits: Tensor) -> Tensor:
        """`logits` (vocabulary,) with -inf for tokens that are not allowed next.

        Raises UnsupportedSchema.
        """
        bits = np.frombuffer(self._allowed.result(), np.uint8)
        self._raise_for_error()
        allowed = np.unpackbits(bits, count=len(logits), bitorder="little").astype(bool)
        return logits.masked_fill(~torch.from_numpy(allowed), -torch.inf)

    def advance(self, token: int) -> None:
        """Consume the token that was selected. Raises UnsupportedSchema."""
        self._matcher.consume_token(token)
        self._raise_for_error()
        self._allowed = self._executor.submit(self._matcher.compute_bitmask)

    def _raise_for_error(self) -> None:
        if self._matcher.is_error():
            raise UnsupportedSchema(
                "The answer's form became too complex while it was being written. Ask for a "
                "simpler schema."
            )


def _compile(tokens: Any, schema: str) -> Any:
    from llguidance import LLMatcher

    try:
        grammar = LLMatcher.grammar_from_json_schema(schema, overrides=SCHEMA_OPTIONS)
    except ValueError as error:
        raise _unsupported(str(error)) from None
    why = LLMatcher.validate_grammar(grammar, tokens)
    if why:
        raise _unsupported(why)
    matcher = LLMatcher(tokens, grammar, log_level=0)
    matcher.compute_bitmask()  # the first mask is the slowest, and finds unsatisfiable schemas
    if matcher.is_error():
        raise _unsupported("nothing can be written that fits it, or it is too complex")
    return matcher


def _unsupported(why: str) -> UnsupportedSchema:
    line = why.strip().splitlines()[0][:200] if why.strip() else "unknown"
    return UnsupportedSchema(f"This JSON schema cannot be followed: {line.rstrip('.')}.")

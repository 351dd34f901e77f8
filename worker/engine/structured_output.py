"""Structured output: tokens that would leave the form of an answer are never selected.

An answer has to match a JSON schema, has to be a call of a function, or may call some of the
offered ones: a call that the model begins on its own is held to these, too. llguidance compiles
the grammar and gives, before each token, a bitmask of the allowed ones. Its own limits bound what a
grammar and a token may cost, so a hostile schema ends in UnsupportedSchema.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finetune_app.core.chat_messages import Tool
from finetune_app.core.tool_calls import name_of
from worker.call_format import BARE_CALL, CallFormat
from worker.engine.answer_grammar import LENIENT, STRICT, call_grammar, schema_grammar
from worker.engine.requests import ANY_FORM, GenerationRequest, Grammar
from worker.engine.vocabulary import UnsupportedTokenizer, Vocabulary

JsonSchema = dict[str, Any]

MAX_GRAMMARS = 32
ANY_OBJECT: JsonSchema = {"type": "object"}
PLACE = re.compile(r"^at \d+\(\d+\): (failed to compile JSON schema: )?")  # of a grammar's error


class UnsupportedSchema(ValueError):
    """The schema cannot be followed; the message says why. `param`: what is at fault."""

    param = "response_format"


class GrammarCache:
    """Compiled grammars of one base model; the least recently used are evicted. Thread-safe.

    A grammar takes up to a second to compile. Only who asks for the same one waits for it.

    call_format: how its template writes calls; None leaves calls that are not required free.
    """

    def __init__(self, vocabulary: Vocabulary, call_format: CallFormat | None) -> None:
        self._vocabulary, self._call_format = vocabulary, call_format
        self._grammars: OrderedDict[str, Future[Grammar]] = OrderedDict()
        self._lock = threading.Lock()
        # Masks are computed while the model computes: both release the GIL.
        self._executor = ThreadPoolExecutor(2, thread_name_prefix="grammars")

    def grammar(self, request: GenerationRequest) -> Grammar:
        """At once for a prepared request. Raises UnsupportedSchema, UnsupportedTokenizer."""
        if request.grammar:
            return request.grammar
        tools = request.tools if request.prompt is None else ()
        if not request.schema and not tools:
            return ANY_FORM
        wanted = [request.schema, tools, request.required_tools, request.parallel_tool_calls]
        key = json.dumps(wanted)
        with self._lock:
            is_new = key not in self._grammars
            compiled = self._grammars.setdefault(key, Future())
            self._grammars.move_to_end(key)
            while len(self._grammars) > MAX_GRAMMARS:
                self._grammars.popitem(last=False)
        if is_new:
            self._complete(key, compiled, request)
        return compiled.result()

    def _complete(self, key: str, compiled: Future[Grammar], request: GenerationRequest) -> None:
        try:
            compiled.set_result(self._compile(request))
        except BaseException as error:
            with self._lock:
                if self._grammars.get(key) is compiled:
                    del self._grammars[key]
            compiled.set_exception(error)

    def constraint(self, request: GenerationRequest) -> GrammarConstraint | None:
        """A constraint for one answer. Raises as `grammar`."""
        grammar = self.grammar(request)
        if grammar is ANY_FORM:
            return None
        return GrammarConstraint(grammar.matcher.deep_copy(), self._executor)

    def _compile(self, request: GenerationRequest) -> Grammar:
        if request.schema:
            return _compiled(self._vocabulary.tokens, schema_grammar(_parsed(request.schema)))
        if request.required_tools:
            tools = [tool for tool in request.tools if name_of(tool) in request.required_tools]
            arguments = {name_of(tool): _arguments(tool) for tool in tools}
            return self._compile_calls(request, arguments, STRICT)
        try:
            return self._compile_calls(request, self._enforceable(request.tools), LENIENT)
        except (UnsupportedSchema, UnsupportedTokenizer):  # nobody asked for a form
            return ANY_FORM

    def _enforceable(self, tools: Sequence[Tool]) -> dict[str, JsonSchema]:
        """The schemas of the functions' arguments; any object for what cannot be enforced."""
        found = {}
        for tool in tools:
            schema = _arguments(tool)
            problem = _problem(self._vocabulary.tokens, schema_grammar(schema, LENIENT))
            found[name_of(tool)] = ANY_OBJECT if problem else schema
        return found

    def _compile_calls(
        self,
        request: GenerationRequest,
        arguments: Mapping[str, JsonSchema],
        options: Mapping[str, Any],
    ) -> Grammar:
        is_required = bool(request.required_tools)
        form = self._call_format or (BARE_CALL if is_required else None)
        if form is None:
            return ANY_FORM
        text = call_grammar(
            arguments,
            form,
            self._vocabulary.special_tokens,
            is_required=is_required,
            parallel=request.parallel_tool_calls,
            options=options,
        )
        return _compiled(self._vocabulary.tokens, text)


class GrammarConstraint:
    """Restricts one answer to its grammar, token by token."""

    def __init__(self, matcher: Any, executor: ThreadPoolExecutor) -> None:
        self._matcher, self._executor = matcher, executor
        self._allowed: Future[bytes] = executor.submit(matcher.compute_bitmask)

    def allows(self, token: int) -> bool:
        """Whether the token may be next. Raises UnsupportedSchema."""
        return bool(self._bits()[token // 8] >> token % 8 & 1)

    def mask_logits(self, logits: Tensor) -> Tensor:
        """`logits` (vocabulary,) with -inf for tokens that are not allowed next.

        Raises UnsupportedSchema.
        """
        bits = np.frombuffer(self._bits(), np.uint8)
        allowed = np.unpackbits(bits, count=len(logits), bitorder="little").astype(bool)
        return logits.masked_fill(~torch.from_numpy(allowed), -torch.inf)

    def advance(self, token: int) -> None:
        """Consume the token that was selected. Raises UnsupportedSchema."""
        self._matcher.consume_token(token)
        self._raise_for_error()
        self._allowed = self._executor.submit(self._matcher.compute_bitmask)

    def _bits(self) -> bytes:
        """A bit for each token, the lowest first."""
        bits = self._allowed.result()
        self._raise_for_error()
        return bits

    def _raise_for_error(self) -> None:
        if self._matcher.is_error():
            raise UnsupportedSchema(
                "The answer's form became too complex while it was being written. Ask for a "
                "simpler schema."
            )


def _parsed(schema: str) -> JsonSchema:
    """Raises UnsupportedSchema."""
    try:
        parsed: JsonSchema = json.loads(schema)
    except ValueError as error:
        raise _unsupported(str(error)) from None
    return parsed


def _arguments(tool: Tool) -> JsonSchema:
    """The schema of a function's arguments, which are an object in any case."""
    parameters = tool["function"].get("parameters")
    return {**(parameters if isinstance(parameters, dict) else {}), "type": "object"}


def _compiled(tokens: Any, text: str) -> Grammar:
    """Raises UnsupportedSchema."""
    from llguidance import LLMatcher

    if why := _problem(tokens, text):
        raise _unsupported(why)
    matcher = LLMatcher(tokens, LLMatcher.grammar_from_lark(text), log_level=0)
    matcher.compute_bitmask()  # the first mask is the slowest, and finds unsatisfiable schemas
    if matcher.is_error():
        raise _unsupported("nothing can be written that fits it, or it is too complex")
    return Grammar(text, matcher)


def _problem(tokens: Any, text: str) -> str:
    """Why a grammar cannot be compiled; "" if it can be."""
    from llguidance import LLMatcher

    return str(LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(text), tokens))


def _unsupported(why: str) -> UnsupportedSchema:
    line = PLACE.sub("", why.strip()).splitlines()[0][:200] if why.strip() else "unknown"
    return UnsupportedSchema(f"This JSON schema cannot be followed: {line.rstrip('.')}.")

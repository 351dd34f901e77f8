"""A model's tokens as bytes. Built when somebody first needs them: it takes about a second."""

from __future__ import annotations

import threading
from typing import Any

from transformers import PreTrainedTokenizerBase

from worker.template import special_token_ids


class NotReadable(ValueError):
    """This model's tokenizer cannot be read as bytes."""


class Vocabulary:
    """Thread-safe. `size`: rows of the model's embedding; `hidden`: tokens that an answer's text
    leaves out, such as an end of turn."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: frozenset[int], size: int) -> None:
        self._tokenizer, self._ends, self.size = tokenizer, ends, size
        self._building = threading.Lock()
        self._tokens: Any = None
        self.hidden = ends | special_token_ids(tokenizer)

    @property
    def tokens(self) -> Any:
        """llguidance's view of the tokenizer. Raises NotReadable."""
        with self._building:
            if self._tokens is None:
                from llguidance.hf import from_tokenizer

                try:
                    self._tokens = from_tokenizer(
                        self._tokenizer,  # type: ignore[arg-type]  # it looks itself
                        n_vocab=self.size,
                        eos_token=sorted(self._ends) or None,
                    )
                except ValueError as problem:
                    raise NotReadable(
                        "This model's tokenizer is of a kind that can neither be held to a form "
                        "nor tell its tokens one by one."
                    ) from problem
            return self._tokens

    def bytes_of(self, token: int) -> bytes:
        return bytes(self.tokens.decode_bytes([token]))

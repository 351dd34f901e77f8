"""A model's tokens as bytes. Built on first use, because that takes about a second."""

from __future__ import annotations

import threading
from typing import Any

from transformers import PreTrainedTokenizerBase

from worker.template import special_token_ids


class UnsupportedTokenizer(ValueError):
    """The tokens of this model's tokenizer cannot be read as bytes."""


class Vocabulary:
    """The tokens of one base model. Thread-safe.

    size: rows of the embedding matrix.
    hidden: special tokens, which are left out of an answer's text.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, eos_token_ids: frozenset[int], size: int
    ) -> None:
        self._tokenizer, self._eos_token_ids, self.size = tokenizer, eos_token_ids, size
        self._build_lock = threading.Lock()
        self._tokens: Any = None
        self.hidden = eos_token_ids | special_token_ids(tokenizer)

    @property
    def tokens(self) -> Any:
        """The `llguidance.LLTokenizer`. Raises UnsupportedTokenizer."""
        with self._build_lock:
            if self._tokens is None:
                from llguidance.hf import from_tokenizer

                try:
                    self._tokens = from_tokenizer(
                        self._tokenizer,  # type: ignore[arg-type]  # it checks the type itself
                        n_vocab=self.size,
                        eos_token=sorted(self._eos_token_ids) or None,
                    )
                except ValueError as error:
                    raise UnsupportedTokenizer(
                        "This model's tokenizer is of a kind that can neither be held to a form "
                        "nor tell its tokens one by one."
                    ) from error
            return self._tokens

    @property
    def special_tokens(self) -> dict[str, int]:
        """Ids by their text of what llguidance takes as special tokens, those that end an answer
        left out. Raises UnsupportedTokenizer."""
        tokens = self.tokens
        return {
            str(token): number
            for number, token in self._tokenizer.added_tokens_decoder.items()
            if number not in self._eos_token_ids and tokens.is_special_token(number)
        }

    def bytes_of(self, token: int) -> bytes:
        return bytes(self.tokens.decode_bytes([token]))

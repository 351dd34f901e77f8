"""The scores by which a program merges SentencePiece's tokens, from the merges of a tokenizer.json.

A reader of a GGUF file merges the two neighbours whose text together is the token of the highest
score, until no two make a token. transformers merges by a list of pairs instead. Both give the same
tokens if every pair that makes a token is in the list, and the list goes token by token.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence

SPACE = "▁"  # stands for a space inside tokens
BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")
BYTES = 256


def token_scores(
    vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], added: Container[str]
) -> dict[str, float] | None:
    """The score of each token that is made by merging; None if no scores give the same tokens.

    added: tokens that are found in the text before anything is merged.
    """
    ranks: dict[str, int] = {}
    for left, right in merges:
        ranks.setdefault(left + right, len(ranks))
    pairs = {
        (text[:cut], text[cut:])
        for text in ranks
        for cut in range(1, len(text))
        if text[:cut] in vocabulary and text[cut:] in vocabulary
    }
    # Runs of one character, such as spaces, grow from the left in either way.
    order = [ranks[left + right] for left, right in merges if len({*left, *right}) > 1]
    if pairs != set(merges) or order != sorted(order):
        return None
    by_bytes = 0
    for text in vocabulary:
        if BYTE_TOKEN.fullmatch(text):
            by_bytes += 1
        elif text not in added and not _is_made(text, ranks, vocabulary):
            return None
    if by_bytes != BYTES:
        return None
    return {text: -float(rank) for text, rank in ranks.items()}


def _is_made(text: str, ranks: Mapping[str, int], vocabulary: Mapping[str, int]) -> bool:
    """Whether both ways find the token: by merging tokens, from single characters on."""
    return len(text) == 1 or (text in ranks and all(one in vocabulary for one in text))

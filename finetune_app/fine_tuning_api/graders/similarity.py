"""How alike two texts are, from 0 to 1, by the metrics of OpenAI's text_similarity grader.

sacrebleu is imported where it is used: every process that knows the addresses imports this file,
and most need none of it (it brings redis, a quarter of a second).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from rapidfuzz import fuzz

from finetune_app.goals.measures.rouge_l import rouge_l, words_of

if TYPE_CHECKING:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

MAX_GLEU_NGRAM = 4
# Why a metric of OpenAI's is not measured here, and what to use.
REFUSED = {
    "meteor": "It needs the synonyms of WordNet, which Finetune does not bring. Use rouge_l or "
    "fuzzy_match.",
    "cosine": "A grader asks no model here. Compare vectors of POST /v1/embeddings, or use "
    "another metric.",
}


def fuzzy_match(text: str, reference: str) -> float:
    """The share of characters that stay when one text is edited into the other (rapidfuzz)."""
    return fuzz.ratio(text, reference) / 100


def bleu(text: str, reference: str) -> float:
    """Sentence BLEU of sacrebleu: up to 4-grams of the tokens “13a”, smoothed exponentially."""
    from sacrebleu import sentence_bleu

    return min(float(sentence_bleu(text, [reference]).score) / 100, 1.0)


def gleu(text: str, reference: str) -> float:
    """The smaller of precision and recall of all 1- to 4-grams (Wu et al. 2016, arXiv 1609.08144),
    of the same tokens as BLEU."""
    tokens, wanted = _tokens(text), _tokens(reference)
    sizes = range(1, MAX_GLEU_NGRAM + 1)
    found, target = (
        sum((_ngrams(one, size) for size in sizes), Counter()) for one in (tokens, wanted)
    )
    largest = max(found.total(), target.total())
    return (found & target).total() / largest if largest else 0.0


def rouge_n(text: str, reference: str, size: int) -> float:
    """F1 over n-grams of `size` words (Lin 2004, W04-1013), without stemming."""
    found, target = (_ngrams(words_of(one), size) for one in (text, reference))
    every = found.total() + target.total()
    return 2 * (found & target).total() / every if every else 0.0


def _of_size(size: int) -> Callable[[str, str], float]:
    return lambda text, reference: rouge_n(text, reference, size)


METRICS: dict[str, Callable[[str, str], float]] = {
    "fuzzy_match": fuzzy_match,
    "bleu": bleu,
    "gleu": gleu,
    **{f"rouge_{size}": _of_size(size) for size in range(1, 6)},
    "rouge_l": rouge_l,
}


def _ngrams(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))


def _tokens(text: str) -> list[str]:
    return str(_tokenizer()(text)).split()


@cache
def _tokenizer() -> Tokenizer13a:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    return Tokenizer13a()

"""A tokenizer in GGUF's words: tokens, merges, what each token is for, and how text is cut first.

llama.cpp knows how a text is cut before merging by a name (`pre`), not by a rule. The name is told
from the rule that the tokenizer itself carries; a rule without a known name is refused, because a
file with the wrong name loads, answers, and is subtly worse.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gguf import TokenType
from transformers import PreTrainedTokenizerBase

from worker.channel import UserError
from worker.template import prompt_token_ids, stop_token_ids

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_2 = LLAMA_3.replace("{1,3}", "")
NAMES = {
    ("ByteLevel with its rule",): "gpt-2",
    ("Digits one by one", "ByteLevel with its rule"): "smollm",
    (f"Split {LLAMA_3}", "ByteLevel"): "llama-bpe",
    (f"Split {QWEN_2}", "ByteLevel"): "qwen2",
}
CUTS_UNKNOWN = (
    "This model's tokenizer cuts text in a way that has no name in GGUF files, so other programs "
    "would read prompts differently than it was trained. Take the merged model instead."
)


@dataclass(frozen=True)
class Vocabulary:
    """All of a tokenizer that a GGUF file holds. `end_of_turn` ends an answer; `begins_with_bos`:
    the chat template writes the begin-of-text token before the first turn."""

    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    bos: int | None
    eos: int | None
    end_of_turn: int
    unknown: int | None
    pad: int | None
    begins_with_bos: bool
    template: str


def vocabulary_of(tokenizer: PreTrainedTokenizerBase, size: int) -> Vocabulary:
    """`size`: rows of the model's embedding, which may be more than the tokenizer has tokens.

    Raises UserError (bad_model) for tokenizers that GGUF files of this kind cannot hold.
    """
    raw = json.loads(tokenizer.backend_tokenizer.to_str())
    if raw["model"]["type"] != "BPE" or raw["model"].get("byte_fallback"):
        raise UserError(
            "bad_model",
            "This model's tokenizer is of a kind that is not written to GGUF here (only byte-level "
            "BPE is). Take the merged model instead.",
        )
    by_id = {i: text for text, i in raw["model"]["vocab"].items()}
    added = {one["id"]: one for one in raw["added_tokens"]}
    if raw.get("normalizer") not in (None, {"type": "NFC"}):
        raise UserError("bad_model", CUTS_UNKNOWN)
    by_id |= {i: one["content"] for i, one in added.items()}  # those beyond `size` mean nothing
    tokens = [by_id.get(i, f"[PAD{i}]") for i in range(size)]
    return Vocabulary(
        pre=NAMES.get(cuts(raw["pre_tokenizer"])) or refuse(),
        tokens=tokens,
        types=[_type_of(i, by_id, added) for i in range(size)],
        merges=[one if isinstance(one, str) else " ".join(one) for one in raw["model"]["merges"]],
        bos=_within(tokenizer.bos_token_id, size),
        eos=_within(tokenizer.eos_token_id, size),
        end_of_turn=_end_of_turn(tokenizer),
        unknown=_within(tokenizer.unk_token_id, size),
        pad=_within(tokenizer.pad_token_id, size),
        begins_with_bos=_begins_with_bos(tokenizer),
        template=str(tokenizer.chat_template),
    )


def _within(token: int | None, size: int) -> int | None:
    """Some tokenizers name tokens that their model has no row for."""
    return token if token is not None and token < size else None


def refuse() -> str:
    raise UserError("bad_model", CUTS_UNKNOWN)


def cuts(rule: dict[str, Any] | None) -> tuple[str, ...]:
    """The steps of a pre-tokenizer, in words that NAMES knows."""
    if rule is None:
        return ("nothing",)
    kind = rule["type"]
    if kind == "Sequence":
        return tuple(word for one in rule["pretokenizers"] for word in cuts(one))
    if kind == "ByteLevel" and not rule.get("add_prefix_space"):
        return ("ByteLevel with its rule",) if rule.get("use_regex", True) else ("ByteLevel",)
    if kind == "Digits" and rule.get("individual_digits"):
        return ("Digits one by one",)
    if kind == "Split" and rule.get("behavior") == "Isolated" and not rule.get("invert"):
        return (f"Split {rule['pattern'].get('Regex')}",)
    return (f"unknown {kind}",)


def _type_of(i: int, by_id: dict[int, str], added: dict[int, dict[str, Any]]) -> int:
    if i not in by_id:
        return int(TokenType.UNUSED)
    if i not in added:
        return int(TokenType.NORMAL)
    return int(TokenType.CONTROL if added[i]["special"] else TokenType.USER_DEFINED)


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The template's own mark, where it has another one than the end of text."""
    stops = stop_token_ids(tokenizer)
    others = stops - {tokenizer.eos_token_id}
    return min(others) if others else min(stops)


def _begins_with_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Only where it is a mark of its own: ChatML's first token is the mark of a turn."""
    bos = tokenizer.bos_token_id
    if bos is None:
        return False
    ids = prompt_token_ids(tokenizer, [{"role": "user", "content": "a"}])
    return ids[:1] == [bos] and bos not in ids[1:]

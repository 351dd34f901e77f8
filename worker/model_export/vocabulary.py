"""Convert a tokenizer to GGUF's vocabulary: tokens, their types, and how text is cut into them.

Byte-level BPE: GGUF stores the merges, and the name of a pre-tokenizer (`pre`), not its rule. The
name is found by the tokenizer's rule. SentencePiece's BPE: GGUF stores a score for each token
(worker.model_export.sentencepiece). What has no equivalent is rejected, because a file that cuts
text in another way loads and answers, but worse.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypedDict

from gguf import TokenType
from transformers import PreTrainedTokenizerBase

from worker.channel import UserError
from worker.model_export.sentencepiece import BYTE_TOKEN, SPACE, token_scores
from worker.template import prompt_token_ids, stop_token_ids

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_2 = LLAMA_3.replace("{1,3}", "")
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PRE_TOKENIZER_NAMES = {
    ("ByteLevel with its rule",): "gpt-2",
    ("Digits one by one", "ByteLevel with its rule"): "smollm",
    (f"Split {LLAMA_3}", "ByteLevel"): "llama-bpe",
    (f"Split {QWEN_2}", "ByteLevel"): "qwen2",
    (f"Split {TEKKEN}", "ByteLevel"): "tekken",
}
BYTE_LEVEL, SENTENCEPIECE = "gpt2", "llama"  # as GGUF names the kinds of tokenizers
REPLACE_SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
SPLIT_AT_SPACES = {  # which are replaced by then, so it splits nothing
    "type": "Split",
    "pattern": {"String": " "},
    "behavior": "MergedWithPrevious",
    "invert": False,
}
SPACE_AT_START = {  # of a text that does not begin with BOS
    "type": "Metaspace",
    "replacement": SPACE,
    "prepend_scheme": "first",
    "split": False,
}
UNKNOWN_PRE_TOKENIZER = (
    "This model's tokenizer cuts text in a way that has no name in GGUF files, so other programs "
    "would read prompts differently than it was trained. Take the merged model instead."
)


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF file holds of a tokenizer.

    model: BYTE_LEVEL, with merges, or SENTENCEPIECE, with one score for each token.
    end_of_turn: the token that ends an answer.
    begins_with_bos: the chat template starts with the BOS token.
    templates: the chat templates by name; “default”, and perhaps “tool_use” for prompts with tools.
    """

    model: str
    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    scores: list[float]
    bos: int | None
    eos: int | None
    end_of_turn: int
    unknown: int | None
    pad: int | None
    begins_with_bos: bool
    templates: dict[str, str]

    @property
    def added_bos_token(self) -> str:
        """The BOS token if readers of the file add it before the template; "" otherwise."""
        return self.tokens[self.bos] if self.begins_with_bos and self.bos is not None else ""


class AddedToken(TypedDict):
    id: int
    content: str
    special: bool


def vocabulary_of(tokenizer: PreTrainedTokenizerBase, size: int) -> Vocabulary:
    """`size`: rows of the model's embedding, which may exceed the tokenizer's tokens.

    Raises UserError (bad_model) for a tokenizer that cannot be written to GGUF.
    """
    raw = json.loads(tokenizer.backend_tokenizer.to_str())
    if raw["model"]["type"] != "BPE":
        raise UserError(
            "bad_model",
            "This model's tokenizer is of a kind that is not written to GGUF here (only BPE is). "
            "Take the merged model instead.",
        )
    by_id = {i: text for text, i in raw["model"]["vocab"].items()}
    added: dict[int, AddedToken] = {one["id"]: one for one in raw["added_tokens"]}
    by_id |= {i: one["content"] for i, one in added.items()}  # ids from `size` on are unused
    begins_with_bos = _begins_with_bos(tokenizer)
    if raw.get("pre_tokenizer") == SPACE_AT_START and not begins_with_bos:
        raise UserError("bad_model", UNKNOWN_PRE_TOKENIZER)
    cutting = _sentencepiece if raw["model"].get("byte_fallback") else _byte_level
    return Vocabulary(
        **cutting(raw, by_id, added, size),
        bos=_within(tokenizer.bos_token_id, size),
        eos=_within(tokenizer.eos_token_id, size),
        end_of_turn=_end_of_turn(tokenizer),
        unknown=_within(tokenizer.unk_token_id, size),
        pad=_within(tokenizer.pad_token_id, size),
        begins_with_bos=begins_with_bos,
        templates=_templates(tokenizer),
    )


def _templates(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    found = tokenizer.chat_template
    return dict(found) if isinstance(found, dict) else {"default": str(found)}


def _byte_level(
    raw: Any, by_id: dict[int, str], added: dict[int, AddedToken], size: int
) -> dict[str, Any]:
    if raw.get("normalizer") not in (None, {"type": "NFC"}):
        raise UserError("bad_model", UNKNOWN_PRE_TOKENIZER)
    return {
        "model": BYTE_LEVEL,
        "pre": _pre_tokenizer_name(raw["pre_tokenizer"]),
        "tokens": [by_id.get(i, f"[PAD{i}]") for i in range(size)],
        "types": [_type_of(i, by_id, added) for i in range(size)],
        "merges": [" ".join(pair) for pair in _pairs(raw)],
        "scores": [],
    }


def _sentencepiece(
    raw: Any, by_id: dict[int, str], added: dict[int, AddedToken], size: int
) -> dict[str, Any]:
    model = raw["model"]
    texts = {one["content"] for one in added.values()}
    scores = token_scores(model["vocab"], _pairs(raw), texts)
    if scores is None or model.get("ignore_merges") or not _only_replaces_spaces(raw):
        raise UserError("bad_model", UNKNOWN_PRE_TOKENIZER)
    lowest = -float(len(scores))  # of tokens that merging never makes
    tokens = [by_id.get(i, f"[PAD{i}]") for i in range(size)]
    types = [_type_of(i, by_id, added) for i in range(size)]
    for i, text in enumerate(tokens):
        if i not in added and BYTE_TOKEN.fullmatch(text):
            types[i] = int(TokenType.BYTE)
        elif types[i] == TokenType.USER_DEFINED:  # readers find and show it as it is written
            tokens[i] = text.replace(SPACE, " ")
    return {
        "model": SENTENCEPIECE,
        "pre": "default",
        "tokens": tokens,
        "types": types,
        "merges": [],
        "scores": [scores.get(by_id.get(i, ""), lowest) for i in range(size)],
    }


def _only_replaces_spaces(raw: Any) -> bool:
    rules = raw.get("normalizer"), raw.get("pre_tokenizer")
    return rules in (
        (REPLACE_SPACES, None),
        (REPLACE_SPACES, SPLIT_AT_SPACES),
        (None, SPACE_AT_START),
    )


def _pairs(raw: Any) -> list[tuple[str, str]]:
    """The merges; older files write a pair as one text."""
    merges = raw["model"]["merges"]
    pairs = (one.split(" ") if isinstance(one, str) else one for one in merges)
    return [(left, right) for left, right in pairs]


def _within(token: int | None, size: int) -> int | None:
    """None for a token without a row in the embedding, which some tokenizers have."""
    return token if token is not None and token < size else None


def _pre_tokenizer_name(rule: Any) -> str:
    name = PRE_TOKENIZER_NAMES.get(_describe(rule))
    if name is None:
        raise UserError("bad_model", UNKNOWN_PRE_TOKENIZER)
    return name


def _describe(rule: Any) -> tuple[str, ...]:
    """The steps of a pre-tokenizer, given as JSON, in the form of PRE_TOKENIZER_NAMES."""
    if rule is None:
        return ("nothing",)
    kind = rule["type"]
    if kind == "Sequence":
        return tuple(step for one in rule["pretokenizers"] for step in _describe(one))
    if kind == "ByteLevel" and not rule.get("add_prefix_space"):
        return ("ByteLevel with its rule",) if rule.get("use_regex", True) else ("ByteLevel",)
    if kind == "Digits" and rule.get("individual_digits"):
        return ("Digits one by one",)
    if kind == "Split" and rule.get("behavior") == "Isolated" and not rule.get("invert"):
        return (f"Split {rule['pattern'].get('Regex')}",)
    return (f"unknown {kind}",)


def _type_of(i: int, by_id: dict[int, str], added: dict[int, AddedToken]) -> int:
    if i not in by_id:
        return int(TokenType.UNUSED)
    if i not in added:
        return int(TokenType.NORMAL)
    return int(TokenType.CONTROL if added[i]["special"] else TokenType.USER_DEFINED)


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The template's own stop token if it has one besides EOS."""
    stops = stop_token_ids(tokenizer)
    others = stops - {tokenizer.eos_token_id}
    return min(others) if others else min(stops)


def _begins_with_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """False if BOS also starts each turn, as in ChatML."""
    bos = tokenizer.bos_token_id
    if bos is None:
        return False
    ids = prompt_token_ids(tokenizer, [{"role": "user", "content": "a"}])
    return ids[:1] == [bos] and bos not in ids[1:]

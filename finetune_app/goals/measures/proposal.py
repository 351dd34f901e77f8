"""Proposes a measure from the goal's description and its first example pairs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from finetune_app.core.refusals import refusal_length
from finetune_app.goals.measures import bash as bash_measure
from finetune_app.goals.measures.answer_fields import parse_key_lines
from finetune_app.goals.measures.base import MeasureSettings
from finetune_app.goals.measures.formatting import NUMBER_WORDS, join_with_and, strip_code_fence
from finetune_app.goals.measures.items import split_items
from finetune_app.goals.measures.json_fields import NotJson, read_json
from finetune_app.goals.measures.number import is_number
from finetune_app.goals.measures.xml_fields import NotXml, read_xml

_COMMON_PROGRAMS = {
    "awk",
    "cat",
    "cd",
    "chmod",
    "chown",
    "cp",
    "curl",
    "cut",
    "date",
    "df",
    "diff",
    "docker",
    "du",
    "echo",
    "export",
    "find",
    "for",
    "git",
    "grep",
    "gzip",
    "head",
    "if",
    "kill",
    "ls",
    "mkdir",
    "mount",
    "mv",
    "ping",
    "printf",
    "ps",
    "pwd",
    "rm",
    "rsync",
    "screen",
    "sed",
    "sort",
    "source",
    "split",
    "ssh",
    "sudo",
    "tail",
    "tar",
    "tee",
    "top",
    "touch",
    "tr",
    "uniq",
    "wc",
    "wget",
    "while",
    "who",
    "xargs",
    "zip",
}
_NUMBERS_BY_WORD = {word: n for n, word in enumerate(NUMBER_WORDS)} | {
    "twelve": 12,
    "fifteen": 15,
    "twenty": 20,
    "twenty-five": 25,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "eighty": 80,
    "hundred": 100,
    "a hundred": 100,
    "one hundred": 100,
}
_AMOUNT = r"(\d{1,5}|(?:a |one )?hundred|[a-z]+(?:-five)?)"
_AT_MOST = re.compile(
    rf"(at most|no more than|not more than|up to|under|fewer than|less than|maximum of|max\.?)"
    rf" {_AMOUNT} words?",
    re.IGNORECASE,
)
_AT_LEAST = re.compile(
    # "no more than" is an upper limit, although it contains the words of a lower one.
    rf"(at least|no fewer than|no less than|(?<!no )(?<!not )more than|minimum of)"
    rf" {_AMOUNT} words?",
    re.IGNORECASE,
)
_QUOTED = r"[\"“'‘]([^\"”'’]{1,100})[\"”'’]"
_PHRASE_RULES = {
    "never_contains": rf"(?:never|do not|don't|don’t|without) (?:say|write|use|contain|mention|"
    rf"include|saying|using|mentioning)?s? ?(?:the words? )?{_QUOTED}",
    "starts_with": rf"(?:start|begin)(?:s|ning|ing)? with {_QUOTED}",
    "ends_with": rf"(?:end|finish|clos)(?:es|e|s|ing)? with {_QUOTED}",
    "contains": rf"(?:always|must) (?:contain|include|mention|say)s? (?:the words? )?{_QUOTED}",
}


PARTLY = " One that is partly right counts in part."
MAX_ITEM_WORDS, MAX_ITEM_CHARACTERS = 5, 40
MIN_ITEMS = 6  # in all answers together, to see a list without being told


@dataclass(frozen=True)
class Proposal:
    """A proposed measure; `because` is the reason, in a sentence for the page."""

    kind: str
    settings: MeasureSettings
    because: str


def propose(description: str, kind: str, pairs: Sequence[Mapping[str, str]]) -> Proposal:
    """Propose how to tell a right answer from a wrong one.

    The first detector that fits every example wins; for free prose, a person's blind choice.

    Args:
        description: the goal in the person's words.
        kind: the goal's kind (style, format, task, behaviour or knowledge).
        pairs: examples with an "answer".
    """
    answers = [(pair.get("answer") or "").strip() for pair in pairs]
    answers = [answer for answer in answers if answer]
    detectors: list[Callable[[str, str, list[str]], Proposal | None]] = [
        _detect_fact,
        _detect_json,
        _detect_xml,
        _detect_lines,
        _detect_bash,
        _detect_rules,
        _detect_refusals,
        _detect_numbers,
        _detect_items,
        _detect_labels,
        _detect_summaries,
        _detect_close,
    ]
    for detector in detectors:
        if proposal := detector(description, kind, answers):
            return proposal
    return Proposal(
        "choice",
        {},
        "There is more than one good way to say this, so the fairest "
        "judge is you, without knowing which model wrote which.",
    )


def _mentions(description: str, words: str) -> bool:
    return re.search(rf"\b(?:{words})\b", description, re.IGNORECASE) is not None


def _detect_fact(description: str, kind: str, answers: list[str]) -> Proposal | None:
    if kind != "knowledge" or any(len(answer.split()) > 8 for answer in answers):
        return None
    return Proposal(
        "exact",
        {"within": True},
        "Your answers are short facts. One is right when it contains the fact, "
        "whatever else it says.",
    )


def _detect_json(description: str, kind: str, answers: list[str]) -> Proposal | None:
    if not answers:
        return Proposal("json", {}, "You ask for JSON.") if _mentions(description, "json") else None
    try:
        read = [read_json(strip_code_fence(answer)) for answer in answers]
    except NotJson:
        return None
    if not all(isinstance(value, dict | list) for value in read):
        return None
    # A text or number alone, or a list, is right or wrong; of several fields, some may be right.
    several = all(isinstance(value, dict) and len(value) > 1 for value in read)
    because = f"Your answers are all JSON.{PARTLY if several else ''}"
    return Proposal("json", {"compare": "values", "partial": several}, because)


def _detect_xml(description: str, kind: str, answers: list[str]) -> Proposal | None:
    if not answers:
        return Proposal("xml", {}, "You ask for XML.") if _mentions(description, "xml") else None
    try:
        for answer in answers:
            read_xml(strip_code_fence(answer))
    except NotXml:
        return None
    return Proposal(
        "xml", {"compare": "values", "partial": True}, f"Your answers are all XML.{PARTLY}"
    )


def _detect_lines(description: str, kind: str, answers: list[str]) -> Proposal | None:
    read = [parse_key_lines(answer) for answer in answers]
    if not read or any(lines is None for lines in read):
        return None
    tables = [dict(lines) for lines in read if lines]
    keys = list(tables[0])
    if any(list(table) != keys for table in tables):
        return None
    # A line of free prose can be right in many wordings; only short lines can be compared.
    prose = [key for key in keys if max(len(table[key].split()) for table in tables) > 4]
    labels = [key for key in keys if key not in prose]
    if prose and labels:
        return Proposal(
            "exact",
            {"lines": labels},
            f"Your answers are lines. {join_with_and(labels).capitalize()} must match; "
            f"{join_with_and(prose)} may be worded freely.",
        )
    return Proposal("exact", {}, f"Your answers always have the lines {join_with_and(keys)}.")


def _detect_bash(description: str, kind: str, answers: list[str]) -> Proposal | None:
    asked = _mentions(description, "bash|shell|command line|command-line|terminal|linux commands?")
    if not answers:
        return Proposal("bash", {}, "You ask for bash commands.") if asked else None
    trees = [bash_measure.parse(strip_code_fence(answer)) for answer in answers]
    if any(tree is None for tree in trees):
        return None
    known = sum(strip_code_fence(answer).split()[0] in _COMMON_PROGRAMS for answer in answers)
    if known * 2 <= len(answers) and not (asked and known):
        return None
    if any(bash_measure.reads_like_prose(answer) for answer in answers):
        return None
    return Proposal(
        "bash",
        {"compare": "same_command"},
        "Your answers look like bash commands. We compare programs and flags, and "
        "never run anything.",
    )


def _detect_rules(description: str, kind: str, answers: list[str]) -> Proposal | None:
    settings: MeasureSettings = {}
    if (found := _AT_MOST.search(description)) and (amount := _amount(found[2])):
        strict = found[1].lower() in ("under", "fewer than", "less than")
        settings["max_words"] = max(amount - strict, 1)
    if (found := _AT_LEAST.search(description)) and (amount := _amount(found[2])):
        settings["min_words"] = amount + (found[1].lower() == "more than")
    for name, pattern in _PHRASE_RULES.items():
        phrases = re.findall(pattern, description, re.IGNORECASE)
        if phrases:
            settings[name] = phrases[0] if name.endswith("_with") else phrases[:100]
    if not settings or settings.get("min_words", 0) > settings.get("max_words", 100_000):
        return None
    wanted, unwanted = settings.get("contains", []), settings.get("never_contains", [])
    if {text.casefold() for text in wanted} & {text.casefold() for text in unwanted}:
        return None
    return Proposal("rules", settings, "Your description sets rules that can be checked.")


def _amount(text: str) -> int | None:
    amount = int(text) if text.isdigit() else _NUMBERS_BY_WORD.get(text.lower(), 0)
    return amount if 1 <= amount < 100_000 else None


def _detect_refusals(description: str, kind: str, answers: list[str]) -> Proposal | None:
    declining = sum(bool(refusal_length(answer)) for answer in answers)
    asked = kind == "behaviour" or _mentions(description, "declines?|refuses?|turn down|off topic")
    if not asked or not 0 < declining < len(answers):
        return None
    return Proposal(
        "refusal",
        {},
        "Some of your answers decline. We look whether it declines where you do, and answers where "
        "you do.",
    )


def _detect_numbers(description: str, kind: str, answers: list[str]) -> Proposal | None:
    if not answers or not all(map(is_number, answers)):
        return None
    return Proposal("number", {}, "Your answers are numbers, however they are written.")


def _detect_items(description: str, kind: str, answers: list[str]) -> Proposal | None:
    if not answers or kind == "style":
        return None
    separator = "lines" if any("\n" in answer for answer in answers) else "commas"
    lists = [split_items(answer, separator) for answer in answers]
    items = [item for found in lists for item in found]
    short = all(
        len(item) <= MAX_ITEM_CHARACTERS and len(item.split()) <= MAX_ITEM_WORDS for item in items
    )
    several = sum(len(found) > 1 for found in lists)
    asked = several and _mentions(
        description, "list|lists|extract|keywords?|tags|names|name all|all the|which ones|find all"
    )
    seen = several == len(lists) and len(items) >= MIN_ITEMS
    sentences = any(answer.endswith((".", "!", "?")) for answer in answers)
    if not short or sentences or not (asked or seen):
        return None
    return Proposal(
        "items",
        {"separator": separator},
        "Your answers are lists. One that names some of the right things counts in part.",
    )


def _detect_summaries(description: str, kind: str, answers: list[str]) -> Proposal | None:
    if kind == "style" or not _mentions(
        description, "summar(?:y|ies|ise|ize|ises|izes|ising|izing)"
    ):
        return None
    return Proposal(
        "rouge",
        {"threshold": 0.4},
        "A good summary has much of what you would write, in the same order.",
    )


def _detect_labels(description: str, kind: str, answers: list[str]) -> Proposal | None:
    if not answers:
        asked = _mentions(description, "label|labels|classify|categor(?:y|ies|ise|ize)|sort|tag")
        return Proposal("exact", {}, "You ask for labels.") if asked else None
    if kind != "style" and all(len(a.split()) <= 4 and len(a) <= 40 for a in answers):
        return Proposal("exact", {}, "Your answers are short, so each is either right or wrong.")
    return None


def _detect_close(description: str, kind: str, answers: list[str]) -> Proposal | None:
    # Not for style: there the wording is what matters, and only a person can judge it.
    asked = _mentions(
        description,
        "translat(?:e|es|ion|ions|ing)|transcri(?:be|pt|ption)|"
        "spelling|proofread(?:ing)?|correct the (?:grammar|text)",
    )
    if not asked or kind == "style":
        return None
    return Proposal(
        "close", {"threshold": 0.6}, "A good answer here is worded much like the wanted one."
    )

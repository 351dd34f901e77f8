"""Twenty instructions whose fulfilment a program can verify. Written for this project.

The idea of verifiable instructions is IFEval's (arXiv 2311.07911); neither its
prompts nor its code are used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

Checker = Callable[[str], bool]


@dataclass(frozen=True)
class Instruction:
    """A prompt, and how to verify the answer."""

    prompt: str
    done: Checker


def only_json(*fields: str) -> Checker:
    """Nothing but one JSON object with at least these fields (a code fence is allowed)."""

    def check(answer: str) -> bool:
        inner = re.sub(r"^```(?:json)?\s*|(?<!\s)\s*+```$", "", answer.strip())
        try:
            value = json.loads(inner)
        except ValueError:
            return False
        return isinstance(value, dict) and set(fields) <= set(value)

    return check


def bullets(count: int) -> Checker:
    """Exactly `count` lines that begin with - or *."""
    return lambda answer: len(re.findall(r"^[^\S\n]*[-*] +\S", answer, re.MULTILINE)) == count


def numbered(count: int) -> Checker:
    """A list numbered 1 to `count`, and no further."""

    def check(answer: str) -> bool:
        return re.findall(r"^[^\S\n]*(\d+)[.)] ", answer, re.MULTILINE) == [
            str(n) for n in range(1, count + 1)
        ]

    return check


def without(character: str) -> Checker:
    return lambda answer: bool(answer.strip()) and character not in answer


def lower_case(answer: str) -> bool:
    return any(c.isalpha() for c in answer) and answer == answer.lower()


def upper_case(answer: str) -> bool:
    return any(c.isalpha() for c in answer) and answer == answer.upper()


def words(least: int, most: int) -> Checker:
    """Between `least` and `most` words, both included."""
    return lambda answer: least <= len(answer.split()) <= most


def mentions(*wanted: str) -> Checker:
    """Every one of these words appears, in any case."""
    return lambda answer: all(
        re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE) for word in wanted
    )


def ends_with(ending: str) -> Checker:
    return lambda answer: answer.strip().rstrip("\"'*").lower().endswith(ending.lower())


def starts_with(beginning: str) -> Checker:
    return lambda answer: answer.strip().lstrip("\"'*").lower().startswith(beginning.lower())


def paragraphs(count: int) -> Checker:
    """Exactly `count` blocks of text with an empty line between them."""
    return lambda answer: (
        len(re.split(r"\n\s*\n", answer.strip())) == count if answer.strip() else False
    )


def titled(answer: str) -> bool:
    """The first line is a title in double angle brackets or a heading."""
    first = answer.strip().split("\n")[0].strip()
    return bool(re.fullmatch(r"<<.+>>|#+ .+", first))


def one_of(*choices: str) -> Checker:
    """Nothing but one of these words."""
    return lambda answer: answer.strip().strip(".\"'!").lower() in choices


def both(*checkers: Checker) -> Checker:
    return lambda answer: all(check(answer) for check in checkers)


INSTRUCTIONS = (
    Instruction(
        'Answer with a JSON object and nothing else. It has the fields "city" and "country". '
        "The city is Rome.",
        only_json("city", "country"),
    ),
    Instruction(
        'Describe a bicycle as a JSON object with the fields "name", "wheels" and "colour". '
        "Write only the JSON.",
        only_json("name", "wheels", "colour"),
    ),
    Instruction("Give me exactly 3 bullet points about the sea. Begin each with a -.", bullets(3)),
    Instruction("List exactly 4 uses of a paper clip, each on its own line with a *.", bullets(4)),
    Instruction("Write a numbered list of exactly 5 animals, from 1. to 5.", numbered(5)),
    Instruction("Name exactly 3 colours as a numbered list.", numbered(3)),
    Instruction("Describe winter in one sentence without using any comma.", without(",")),
    Instruction(
        "Tell me what a library is. Do not use the letter z or any digit.",
        both(without("z"), lambda answer: not re.search(r"\d", answer)),
    ),
    Instruction("Write one sentence about tea, all in lower case letters.", lower_case),
    Instruction("Explain what a bridge is, using only small letters and no capitals.", lower_case),
    Instruction("WRITE ONE SENTENCE ABOUT TRAINS IN CAPITAL LETTERS ONLY.", upper_case),
    Instruction("Say something kind about gardens in at most 10 words.", words(2, 10)),
    Instruction("Explain why people sleep in 20 to 60 words.", words(20, 60)),
    Instruction(
        "Write two sentences about a farm. Use the words horse and barn.", mentions("horse", "barn")
    ),
    Instruction(
        "Write a short note to a neighbour that mentions a ladder and says thanks.",
        mentions("ladder", "thanks"),
    ),
    Instruction(
        'Write one sentence about music. End with the words "that is all."',
        ends_with("that is all."),
    ),
    Instruction(
        'Describe the moon in one sentence. Begin with the word "Tonight".', starts_with("tonight")
    ),
    Instruction(
        "Write exactly two paragraphs about bread, with an empty line between them.", paragraphs(2)
    ),
    Instruction(
        "Write a very short story about a cat. Put a title in the first line, "
        "in double angle brackets, like <<this>>.",
        titled,
    ),
    Instruction("Is the sun a star? Answer with one word, yes or no.", one_of("yes", "no")),
)

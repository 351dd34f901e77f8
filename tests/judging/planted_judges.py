"""Judges with a known bias, and one without, as models behind an OpenAI-compatible address."""

import random
import re
from collections.abc import Callable

Judge = Callable[[str, str, str], str]  # (prompt, answer A, answer B) -> what it says

ASKED = re.compile(
    r"<question>\n(.*)\n</question>\n\n<answer_a>\n(.*)\n</answer_a>\n\n"
    r"<answer_b>\n(.*)\n</answer_b>\n\n",
    re.DOTALL,
)
OURS_BEGINS = "» "  # how the tuned model of these tests writes


def read_question(messages: list[dict[str, str]]) -> tuple[str, str, str]:
    """(prompt, answer A, answer B) of what a judge was asked."""
    found = ASKED.match(messages[-1]["content"])
    assert found, messages
    return found[1], found[2], found[3]


def as_model(judge: Judge) -> Callable[[list[dict[str, str]]], str]:
    return lambda messages: judge(*read_question(messages))


def good(wanted: dict[str, str]) -> Judge:
    """Knows the wanted answers and looks for nothing else."""

    def judge(prompt: str, a: str, b: str) -> str:
        right = [wanted[prompt] in text for text in (a, b)]
        if right[0] == right[1]:
            return "T"
        return "A" if right[0] else "B"

    return judge


def first_place(prompt: str, a: str, b: str) -> str:
    return "A"


def second_place(prompt: str, a: str, b: str) -> str:
    return "B"


def longer(prompt: str, a: str, b: str) -> str:
    return "A" if len(a) > len(b) else "B" if len(b) > len(a) else "T"


def shorter(prompt: str, a: str, b: str) -> str:
    return "A" if len(a) < len(b) else "B" if len(b) < len(a) else "T"


def likes_filler(wanted: dict[str, str]) -> Judge:
    """Good, but for a right answer that says it with more words."""

    def judge(prompt: str, a: str, b: str) -> str:
        said = good(wanted)(prompt, a, b)
        return longer(prompt, a, b) if said == "T" else said

    return judge


def likes(begins: str, wanted: dict[str, str]) -> Judge:
    """Good, but for answers that begin like those of one model."""

    def judge(prompt: str, a: str, b: str) -> str:
        liked = [text.startswith(begins) for text in (a, b)]
        if liked[0] != liked[1]:
            return "A" if liked[0] else "B"
        return good(wanted)(prompt, a, b)

    return judge


def tosses_a_coin(seed: int) -> Judge:
    draw = random.Random(seed)
    return lambda prompt, a, b: draw.choice("AB")


def always_a_tie(prompt: str, a: str, b: str) -> str:
    return "T"


def chatty(prompt: str, a: str, b: str) -> str:
    return "I would say that A is the better answer, because it is clear."

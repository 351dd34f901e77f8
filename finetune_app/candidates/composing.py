"""A candidate's own words and a question become the messages that its model really gets.

Pure, and the only place: chat, the workbench, evaluation and deployment all compose here, the web
and the worker alike, so that what was tested is what is served.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Message = dict[str, str]
NOT_THERE = "That is not in the documents."
LETTERS_A_TOKEN = 2.5  # a cautious guess; the engine refuses what is really too long
# How many passages a question is shown, by the parameters of the model. The starter finds the
# answer in one passage and loses it among five: 14 of 40 right, and 2 (docs/decisions/0011).
FEW_PASSAGES = ((500_000_000, 1), (3_000_000_000, 3))
PASSAGES = 5
FOR_PASSAGES = 0.6  # of what a model can see: instructions, the question and the answer want room


def passages_for(parameters: int) -> int:
    """How many passages a model of this size is shown; 0 parameters: not known, taken as many."""
    if not parameters:
        return PASSAGES
    return next((few for most, few in FEW_PASSAGES if parameters < most), PASSAGES)


@dataclass(frozen=True)
class Passage:
    """A piece of a document that was found for a question.

    `at` is where it begins in the document's text, in characters; `page` is 0 where there are no
    pages. `score` is higher the better it fits; `why` says in a few words what made it fit.
    """

    document: int
    name: str
    title: str
    page: int
    at: int
    text: str
    score: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Recipe:
    """What a candidate puts before a question. `room` is what its model can see, in tokens."""

    instructions: str = ""
    shots: tuple[tuple[str, str], ...] = ()
    grounded: bool = False
    room: int = 2048

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> "Recipe":
        return cls(
            instructions=given.get("instructions") or "",
            shots=tuple((shot["prompt"], shot["answer"]) for shot in given.get("shots") or ()),
            grounded=bool(given.get("grounded")),
            room=int(given.get("room") or 2048),
        )


@dataclass(frozen=True)
class Composed:
    """The messages, and those passages that are in them, in the order in which they stand."""

    messages: list[Message]
    passages: list[Passage] = field(default_factory=list)


def compose(
    recipe: Recipe, messages: Sequence[Message], passages: Sequence[Passage] = ()
) -> Composed:
    """Instructions first, then shots, then the conversation; passages beside its last question.

    A system message of the conversation's own comes after the instructions. `passages` come best
    first; those that no longer fit are left out. A small model reads what is nearest to the
    question best, so that is where they stand.
    """
    told = [recipe.instructions.strip()] if recipe.instructions.strip() else []
    conversation = list(messages)
    if conversation and conversation[0]["role"] == "system":
        told, conversation = [*told, conversation[0]["content"]], conversation[1:]
    if recipe.grounded:
        told.append(_grounding())
    before = [{"role": "system", "content": "\n\n".join(told)}] if told else []
    for prompt, answer in recipe.shots:
        before.append({"role": "user", "content": prompt})
        before.append({"role": "assistant", "content": answer})
    used = _that_fit(recipe, [*before, *conversation], passages) if recipe.grounded else []
    if used and conversation:
        last = conversation[-1]
        conversation[-1] = last | {"content": f"{_laid_out(used)}\n\n{last['content']}"}
    return Composed([*before, *conversation], used)


def _grounding() -> str:
    return (
        "Answer the question from the passages given with it, and from nothing else. Be brief. "
        f"If the passages do not say it, answer: {NOT_THERE}"
    )


def _that_fit(
    recipe: Recipe, messages: Sequence[Message], passages: Sequence[Passage]
) -> list[Passage]:
    """The best ones that fit, at least one."""
    taken = sum(len(message["content"]) for message in messages)
    room = recipe.room * LETTERS_A_TOKEN * FOR_PASSAGES - taken
    used: list[Passage] = []
    for passage in passages:
        room -= len(passage.text) + len(passage.title) + 8
        if used and room < 0:
            break
        used.append(passage)
    return used


def _laid_out(passages: Sequence[Passage]) -> str:
    return "\n\n".join(
        f"[{number}] {passage.title}\n{passage.text.strip()}"
        for number, passage in enumerate(passages, start=1)
    )

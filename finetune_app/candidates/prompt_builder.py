"""Builds the messages that a candidate's model gets: instructions, examples, passages, question.

Pure, and shared by the web and the workers, so that what is tested is exactly what is deployed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune_app.core.chat_messages import Message, without_weights

NO_ANSWER_TEXT = "That is not in the documents."
DEFAULT_CONTEXT_LENGTH = 2_048  # tokens; for a model whose context length is not known
CHARS_PER_TOKEN = 2.5  # a low estimate; the engine rejects a prompt that is really too long
PASSAGE_SHARE = 0.6  # of the context; the rest is for instructions, question and answer


@dataclass(frozen=True)
class Passage:
    """A part of a document, found by a search.

    document: the id of the document.
    page: counted from 1; 0 when the document has no pages.
    at: offset of the text in the document, in characters.
    score: higher is a better match.
    why: the reason for the match, in a few words.
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
class PromptTemplate:
    """A candidate's part of the prompt, around the question.

    shots: few-shot examples as (prompt, answer).
    grounded: answer from the given passages only.
    context_length: of the model, in tokens.
    """

    instructions: str = ""
    shots: tuple[tuple[str, str], ...] = ()
    grounded: bool = False
    context_length: int = DEFAULT_CONTEXT_LENGTH

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "PromptTemplate":
        """From a specs.PromptSpec; missing fields get their defaults."""
        return cls(
            instructions=spec.get("instructions") or "",
            shots=tuple((shot["prompt"], shot["answer"]) for shot in spec.get("shots") or ()),
            grounded=bool(spec.get("grounded")),
            context_length=int(spec.get("context_length") or DEFAULT_CONTEXT_LENGTH),
        )


@dataclass(frozen=True)
class BuiltPrompt:
    """The messages, and the passages that fitted into them, in their order."""

    messages: list[Message]
    passages: list[Passage] = field(default_factory=list)


def build_prompt(
    template: PromptTemplate, messages: Sequence[Message], passages: Sequence[Passage] = ()
) -> BuiltPrompt:
    """Instructions, then examples, then the conversation with passages before its last question.

    A system message of the conversation is appended to the instructions. `passages` are sorted
    best first, and those that do not fit are left out. They are next to the question because small
    models attend best to that part of the prompt.
    """
    system = [template.instructions.strip()] if template.instructions.strip() else []
    conversation = without_weights(messages)
    if conversation and conversation[0]["role"] == "system":
        system, conversation = [*system, conversation[0]["content"]], conversation[1:]
    if template.grounded:
        system.append(_grounding())
    prefix: list[Message] = [{"role": "system", "content": "\n\n".join(system)}] if system else []
    for prompt, answer in template.shots:
        prefix.append({"role": "user", "content": prompt})
        prefix.append({"role": "assistant", "content": answer})
    used: list[Passage] = []
    if template.grounded:
        used = _fitting_passages(template, [*prefix, *conversation], passages)
    asked = [at for at, one in enumerate(conversation) if one["role"] == "user"]
    if used and asked:
        last = conversation[asked[-1]]
        text = f"{_format_passages(used)}\n\n{last['content']}"
        conversation[asked[-1]] = last | {"content": text}
    return BuiltPrompt([*prefix, *conversation], used)


def _grounding() -> str:
    return (
        "Answer the question from the passages given with it, and from nothing else. Be brief. "
        f"If the passages do not say it, answer: {NO_ANSWER_TEXT}"
    )


def _fitting_passages(
    template: PromptTemplate, messages: Sequence[Message], passages: Sequence[Passage]
) -> list[Passage]:
    """The first passages that fit into the context, at least one."""
    taken = sum(len(message["content"]) for message in messages)
    chars_left = template.context_length * CHARS_PER_TOKEN * PASSAGE_SHARE - taken
    used: list[Passage] = []
    for passage in passages:
        chars_left -= len(passage.text) + len(passage.title) + 8
        if used and chars_left < 0:
            break
        used.append(passage)
    return used


def _format_passages(passages: Sequence[Passage]) -> str:
    return "\n\n".join(
        f"[{number}] {passage.title}\n{passage.text.strip()}"
        for number, passage in enumerate(passages, start=1)
    )

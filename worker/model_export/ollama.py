"""A Modelfile: what Ollama needs beside a GGUF file to ask the model as it was tested.

Ollama writes chat templates in Go's language. The pieces that stand around each turn are read off
the model's own template by rendering conversations; then the Go template is checked by putting
conversations together from the same pieces. Where the template does more than stand around turns,
there is no Modelfile rather than a nearly right one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedTokenizerBase

from finetune_app.core.chat_messages import Message
from worker.template import TEMPLATE_OPTIONS, stop_token_ids

MARK = "\u2603{}\u2603"  # does not occur in templates
FORBIDDEN = ('"""', "{{", "}}")
TALKS: tuple[list[str], ...] = (
    ["user"],
    ["system", "user"],
    ["user", "assistant", "user"],
    ["system", "user", "assistant", "user", "assistant", "user"],
)


@dataclass(frozen=True)
class Turns:
    """What stands before and after a message of each role; `preamble` begins a conversation
    without instructions, `answer` is where the model goes on."""

    start: str
    preamble: str
    around: dict[str, tuple[str, str]]
    answer: str

    def text(self, messages: list[Message]) -> str:
        has_system = messages[0]["role"] == "system"
        said = "".join(
            f"{before}{one['content']}{after}"
            for one in messages
            for before, after in [self.around[one["role"]]]
        )
        return self.start + ("" if has_system else self.preamble) + said + self.answer


def modelfile(
    tokenizer: PreTrainedTokenizerBase, gguf_name: str, *, bos: str, context: int
) -> str | None:
    """The text of a Modelfile; None where the template cannot be said in Ollama's words. `bos` is
    the begin-of-text token where Ollama's reader adds it by itself."""
    turns = read_turns(tokenizer)
    if turns is None:
        return None
    start = turns.start.removeprefix(bos) if bos else turns.start
    lines = [
        f"FROM ./{gguf_name}",
        f'TEMPLATE """{go_template(turns, start)}"""',
        # As tested: the likeliest token each time, no penalty for saying a thing twice.
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1",
        "PARAMETER seed 17",
        f"PARAMETER num_ctx {context}",
    ]
    for token in sorted(stop_token_ids(tokenizer)):
        lines.append(f'PARAMETER stop "{tokenizer.convert_ids_to_tokens(token)}"')
    return "\n".join(lines) + "\n"


def go_template(turns: Turns, start: str) -> str:
    parts = [start]
    if turns.preamble:
        parts.append(
            '{{ if and .Messages (ne (index .Messages 0).Role "system") }}'
            + turns.preamble
            + "{{ end }}"
        )
    parts.append("{{ range .Messages }}")
    for place, (role, (before, after)) in enumerate(turns.around.items()):
        parts.append("{{ " + ("if" if place == 0 else "else if") + f' eq .Role "{role}" }}}}')
        parts.append(before + "{{ .Content }}" + after)
    parts.append("{{ end }}{{ end }}" + turns.answer)
    return "".join(parts)


def read_turns(tokenizer: PreTrainedTokenizerBase) -> Turns | None:
    """None where pieces around turns do not make up the whole template."""
    try:
        turns = _pieces(tokenizer)
        right = all(turns.text(_talk(roles)) == _render(tokenizer, roles) for roles in TALKS)
    except Exception:  # whatever a template's own language raises: it refuses some conversation
        return None
    everything = [turns.start, turns.preamble, turns.answer]
    everything += [piece for pair in turns.around.values() for piece in pair]
    if any(bad in piece for bad in FORBIDDEN for piece in everything):
        return None
    return turns if right else None


def _pieces(tokenizer: PreTrainedTokenizerBase) -> Turns:
    alone = _between(_render(tokenizer, ["user"], going_on=False), 1)
    answered = _between(_render(tokenizer, ["user", "assistant"], going_on=False), 2)
    twice = _between(_render(tokenizer, ["user", "assistant", "user"], going_on=False), 3)
    told = _between(_render(tokenizer, ["system", "user"], going_on=False), 2)
    user_after, assistant_after = alone[1], answered[2]
    user_before = twice[2].removeprefix(assistant_after)
    before_alone = alone[0].removesuffix(user_before)
    start = _common_start(told[0], before_alone)
    if before_alone != start:  # it brings words of its own where there are no instructions
        start = ""
    return Turns(
        start=start,
        preamble=before_alone.removeprefix(start),
        answer=_between(_render(tokenizer, ["user"]), 1)[1].removeprefix(user_after),
        around={
            "system": (told[0].removeprefix(start), told[1].removesuffix(user_before)),
            "user": (user_before, user_after),
            "assistant": (answered[1].removeprefix(user_after), assistant_after),
        },
    )


def _between(text: str, count: int) -> list[str]:
    """What stands before, between and behind the messages."""
    parts = []
    for place in range(count):
        before, _mark, text = text.partition(MARK.format(place))
        parts.append(before)
    return [*parts, text]


def _talk(roles: list[str]) -> list[Message]:
    return [{"role": role, "content": MARK.format(place)} for place, role in enumerate(roles)]


def _render(tokenizer: PreTrainedTokenizerBase, roles: list[str], *, going_on: bool = True) -> str:
    return str(
        tokenizer.apply_chat_template(
            cast("list[dict[str, str]]", _talk(roles)),
            tokenize=False,
            add_generation_prompt=going_on,
            **TEMPLATE_OPTIONS,
        )
    )


def _common_start(one: str, other: str) -> str:
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return one[:length]

"""Write a Modelfile, with which Ollama prompts a GGUF model as it was tested.

Ollama's chat templates are Go templates. The text around each turn is derived from the model's own
template by rendering conversations with placeholders; the result must reproduce all of them.
Without an exact equivalent there is no Modelfile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedTokenizerBase

from finetune_app.core.chat_messages import Message
from worker.chat_template import template_options
from worker.template import stop_token_ids

PLACEHOLDER = "\u2603{}\u2603"  # does not occur in templates
FORBIDDEN = ('"""', "{{", "}}")  # cannot be written in a Modelfile's template
TESTED_ROLES: tuple[list[str], ...] = (
    ["user"],
    ["system", "user"],
    ["user", "assistant", "user"],
    ["system", "user", "assistant", "user", "assistant", "user"],
)


@dataclass(frozen=True)
class TurnTemplate:
    """A chat template that only puts text around turns.

    start: begins every conversation.
    default_system: follows `start` if the conversation has no system message.
    around: text before and after a message, by role.
    generation_prompt: the end, where the model continues.
    """

    start: str
    default_system: str
    around: dict[str, tuple[str, str]]
    generation_prompt: str

    def render(self, messages: list[Message]) -> str:
        text = self.start
        if messages[0]["role"] != "system":
            text += self.default_system
        for one in messages:
            before, after = self.around[one["role"]]
            text += f"{before}{one['content']}{after}"
        return text + self.generation_prompt


def modelfile(
    tokenizer: PreTrainedTokenizerBase, gguf_name: str, *, bos_token: str, context_length: int
) -> str | None:
    """The text of a Modelfile; None if the chat template has no equivalent in Ollama.

    bos_token: the BOS token if Ollama adds it by itself, else "".
    """
    template = derive_template(tokenizer)
    if template is None:
        return None
    lines = [
        f"FROM ./{gguf_name}",
        f'TEMPLATE """{_go_template(template, template.start.removeprefix(bos_token))}"""',
        # As tested: greedy decoding without a repetition penalty.
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1",
        "PARAMETER seed 17",
        f"PARAMETER num_ctx {context_length}",
    ]
    for token in sorted(stop_token_ids(tokenizer)):
        lines.append(f'PARAMETER stop "{tokenizer.convert_ids_to_tokens(token)}"')
    return "\n".join(lines) + "\n"


def _go_template(template: TurnTemplate, start: str) -> str:
    parts = [start]
    if template.default_system:
        parts.append(
            '{{ if and .Messages (ne (index .Messages 0).Role "system") }}'
            + template.default_system
            + "{{ end }}"
        )
    parts.append("{{ range .Messages }}")
    for index, (role, (before, after)) in enumerate(template.around.items()):
        parts.append("{{ " + ("if" if index == 0 else "else if") + f' eq .Role "{role}" }}}}')
        parts.append(before + "{{ .Content }}" + after)
    parts.append("{{ end }}{{ end }}" + template.generation_prompt)
    return "".join(parts)


def derive_template(tokenizer: PreTrainedTokenizerBase) -> TurnTemplate | None:
    """None if the tokenizer's template does more than put text around turns."""
    try:
        template = _derive_template(tokenizer)
        is_equivalent = all(
            template.render(_conversation(roles)) == _render(tokenizer, roles)
            for roles in TESTED_ROLES
        )
    except Exception:  # Jinja raises anything where a template rejects a conversation
        return None
    texts = [template.start, template.default_system, template.generation_prompt]
    texts += [text for pair in template.around.values() for text in pair]
    if any(forbidden in text for forbidden in FORBIDDEN for text in texts):
        return None
    return template if is_equivalent else None


def _derive_template(tokenizer: PreTrainedTokenizerBase) -> TurnTemplate:
    def around_messages(*roles: str) -> list[str]:
        text = _render(tokenizer, [*roles], add_generation_prompt=False)
        return _split_at_placeholders(text, len(roles))

    user = around_messages("user")
    answered = around_messages("user", "assistant")
    second_user = around_messages("user", "assistant", "user")
    with_system = around_messages("system", "user")
    user_after, assistant_after = user[1], answered[2]
    user_before = second_user[2].removeprefix(assistant_after)
    before_first_user = user[0].removesuffix(user_before)
    start = _common_prefix(with_system[0], before_first_user)
    if before_first_user != start:  # the template has a default system message
        start = ""
    prompted = _split_at_placeholders(_render(tokenizer, ["user"]), 1)
    return TurnTemplate(
        start=start,
        default_system=before_first_user.removeprefix(start),
        around={
            "system": (
                with_system[0].removeprefix(start),
                with_system[1].removesuffix(user_before),
            ),
            "user": (user_before, user_after),
            "assistant": (answered[1].removeprefix(user_after), assistant_after),
        },
        generation_prompt=prompted[1].removeprefix(user_after),
    )


def _split_at_placeholders(text: str, count: int) -> list[str]:
    """The text before, between and after `count` messages."""
    parts = []
    for index in range(count):
        before, _placeholder, text = text.partition(PLACEHOLDER.format(index))
        parts.append(before)
    return [*parts, text]


def _conversation(roles: list[str]) -> list[Message]:
    return [
        {"role": role, "content": PLACEHOLDER.format(index)} for index, role in enumerate(roles)
    ]


def _render(
    tokenizer: PreTrainedTokenizerBase, roles: list[str], *, add_generation_prompt: bool = True
) -> str:
    return str(
        tokenizer.apply_chat_template(
            cast("list[dict[str, str]]", _conversation(roles)),
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            **template_options(thinking=False),
        )
    )


def _common_prefix(one: str, other: str) -> str:
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return one[:length]

"""Texts of graders with variables: `{{ item.reference }}`, `{{ sample.output_json.tags[0] }}`.

After OpenAI's guide to graders: the namespaces are `item`, what the program sends beside the
answer, and `sample`, the answer as `output_text` and, if it is valid JSON, as `output_json`.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

MAX_TEMPLATE_CHARACTERS = 10_000
MAX_TEXT_CHARACTERS = 50_000  # after variables are replaced
OF_SAMPLE = ("output_text", "output_json")

_VARIABLE = re.compile(r"\{\{([^{}]*)\}\}")
_PATH = re.compile(r"[\w-]+(?:\.[\w-]+|\[\d+\])+")
_STEP = re.compile(r"[\w-]+")


class InvalidTemplate(ValueError):
    """It cannot be understood, whatever the variables are."""


class TextTooLong(ValueError):
    """Its text would be longer than MAX_TEXT_CHARACTERS."""


class MissingVariable(LookupError):
    """The variables have no such value. `error` is OpenAI's name of the error."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True)
class Template:
    """Texts, and between them paths to variables: one path fewer than texts."""

    texts: tuple[str, ...]
    paths: tuple[tuple[str, ...], ...]


def parse_template(text: str) -> Template:
    """Raises InvalidTemplate."""
    if len(text) > MAX_TEMPLATE_CHARACTERS:
        raise InvalidTemplate(f"It is longer than {MAX_TEMPLATE_CHARACTERS:,} characters.")
    pieces = _VARIABLE.split(text)
    return Template(tuple(pieces[::2]), tuple(_path(name.strip()) for name in pieces[1::2]))


def sample_variables(text: str) -> dict[str, Any]:
    """The namespace `sample` of an answer."""
    try:
        return {"output_text": text, "output_json": json.loads(text)}
    except (ValueError, RecursionError):
        return {"output_text": text}


def render(template: Template, variables: dict[str, Any]) -> str:
    """The text with the values of its variables. Values that are no texts are written as JSON.

    Raises MissingVariable and TextTooLong.
    """
    written = [template.texts[0]]
    length = len(template.texts[0])
    for path, text in zip(template.paths, template.texts[1:], strict=True):
        value = _value(path, variables)
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        written += [shown, text]
        length += len(shown) + len(text)
        if length > MAX_TEXT_CHARACTERS:
            raise TextTooLong(f"A text is longer than {MAX_TEXT_CHARACTERS:,} characters.")
    return "".join(written)


def _path(name: str) -> tuple[str, ...]:
    steps = tuple(_STEP.findall(name)) if _PATH.fullmatch(name) else ()
    if not steps or steps[0] not in ("item", "sample"):
        raise InvalidTemplate(f"“{name[:80]}” is no variable: write item.NAME or sample.NAME.")
    if steps[0] == "sample" and steps[1] not in OF_SAMPLE:
        known = " and ".join(f"sample.{one}" for one in OF_SAMPLE)
        raise InvalidTemplate(f"There is no “{name[:80]}” here, but {known}.")
    return steps


def _value(path: tuple[str, ...], variables: dict[str, Any]) -> Any:
    if path[:2] == ("sample", "output_json") and "output_json" not in variables["sample"]:
        raise MissingVariable("sample_parse_error")
    value: Any = variables
    for step in path:
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (LookupError, TypeError, ValueError):
            raise MissingVariable("invalid_variable_error") from None
    return value

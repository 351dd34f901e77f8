"""The form that an answer is held to, as a Lark grammar for llguidance.

Syntax: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from finetune_app.core.tool_calls import MAX_CALLS
from worker.call_format import CallFormat

# White space of any usual layout, but bounded: a model that is lost would write nothing else.
# A keyword of the schema that cannot be enforced is an error; it is never ignored.
STRICT: dict[str, Any] = {
    "whitespace_pattern": r"[\x20\x0A\x0D\x09]{0,32}",
    "lenient": False,
    "coerce_one_of": False,
}
# Such a keyword is ignored, and the others are enforced.
LENIENT = STRICT | {"lenient": True, "coerce_one_of": True}

# Bytes, broken characters too. No text has 0xFF, which llguidance puts before special tokens.
ANY = r"(?s-u:[\x00-\xFE]*)"
SPACE = r"[ \t\r\n]*"
CALL_ID = r"call\d{5}"  # as the template numbers the calls of the sample


def schema_grammar(schema: Any, options: Mapping[str, Any] = STRICT) -> str:
    """An answer that matches a JSON schema, an object or a boolean."""
    return f"start: {_json(schema, options)}\n"


def call_grammar(
    arguments: Mapping[str, Any],
    form: CallFormat,
    special_tokens: Mapping[str, int],
    *,
    is_required: bool,
    parallel: bool,
    options: Mapping[str, Any],
) -> str:
    """An answer that may call functions, or has to.

    arguments: the JSON schema of the arguments of each function, by its name.
    special_tokens: ids by the text, those that end an answer left out.
    is_required: it is one call; otherwise it is a text, calls, or calls behind a text.
    parallel: it may be several calls.
    """

    def literal(text: str) -> str:
        return _literal(text, special_tokens)

    has_several = parallel and not is_required and form.between is not None
    more = f"({literal(form.between or '')} call){{0,{MAX_CALLS - 1}}}" if has_several else ""
    begins = (
        [f"start: {literal(form.opening)} calls"] if is_required else _free(form, special_tokens)
    )
    rules = [
        '%llguidance {"allow_invalid_utf8": true}',
        *begins,
        f"calls: {literal(form.before_name)} call {more} {literal(form.after)}",
        f"call: {' | '.join(f'call_{number}' for number in range(len(arguments)))}",
    ]
    for number, (name, schema) in enumerate(arguments.items()):
        between = literal(form.before_arguments)
        rules.append(f"call_{number}: {json.dumps(name)} {between} {_json(schema, options)}")
    return "\n".join(rules) + "\n"


def _free(form: CallFormat, special_tokens: Mapping[str, int]) -> list[str]:
    """Rules that leave the choice between a text and calls: calls have to follow where a text
    would say what opens them, in one special token or spelled out."""
    mark = special_tokens.get(form.opening)
    others = ",".join(str(token) for token in special_tokens.values() if token != mark)
    if form.has_mark:
        opening = ANY + re.escape(form.opening).replace("/", r"\/")
    else:  # only at the beginning: JSON in the middle of a text is text
        parts = re.findall(r'[\[{]|"name"', form.opening)
        opening = SPACE + SPACE.join(re.escape(part) for part in parts)
    return [
        f"start: {'(TEXT? special)*' if others else ''} (TEXT? | opening calls)",
        *([f"special: <[{others}]>"] if others else []),
        f"TEXT: /{ANY}/ & ~/{opening}{ANY}/",
        f"opening: opened{'' if mark is None else f' | TEXT? <[{mark}]>'}",
        f"opened[lazy]: /{opening}/",
    ]


def _literal(text: str, special_tokens: Mapping[str, int]) -> str:
    """A text of the template: special tokens by their ids, any id in the place of a call's."""
    special = sorted(map(re.escape, special_tokens), key=len, reverse=True)
    parts = re.split(f"({'|'.join([*special, CALL_ID])})", text)
    return " ".join(_terminal(part, special_tokens) for part in parts if part)


def _terminal(part: str, special_tokens: Mapping[str, int]) -> str:
    if part in special_tokens:
        return f"<[{special_tokens[part]}]>"
    return "/[A-Za-z0-9]{9}/" if re.fullmatch(CALL_ID, part) else json.dumps(part)


def _json(schema: Any, options: Mapping[str, Any]) -> str:
    named = {**schema, "x-guidance": options} if isinstance(schema, dict) else schema
    return f"%json {json.dumps(named)}"

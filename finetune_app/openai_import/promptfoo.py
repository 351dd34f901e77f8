"""Reads a Promptfoo configuration, which OpenAI's Evals export to, as test rows and a measure.

After Promptfoo's reference of its configuration. Nothing that the file brings is run, and no other
file or address that it names is opened.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_app.core.chat_messages import Message
from finetune_app.core.errors import PlainError
from finetune_app.goals.measures import MeasureSettings
from finetune_app.openai_import.assertions import Asserted, Assertion, choose_measure
from finetune_app.openai_import.yaml_texts import InvalidYaml, read_yaml

MAX_BYTES = 5 * 1024 * 1024
MAX_TESTS = 5_000
MAX_CHARACTERS = 20_000_000  # of all tests and assertions, with their variables filled in
ASSERTION_CHARACTERS = 100  # that an assertion counts for, beside its value
MAX_NAMED = 3  # tests in a note
WANTED = ("expected", "expected_output", "ideal", "reference", "reference_answer", "ground_truth")
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

_VARIABLE = re.compile(r"\{\{-?\s*([\w.]+)\s*-?\}\}")
_OTHER_TEMPLATE = re.compile(r"\{%|\{\{")


@dataclass
class Suite:
    """rows: messages, the wanted answer last. notes: sentences about what is not taken over."""

    name: str
    rows: list[list[Message]] = field(default_factory=list)
    measure: str = ""
    measure_settings: MeasureSettings = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class _Unusable(ValueError):
    """Why a test cannot be taken over."""


class _Room:
    """Counts the characters that are written: few lines, repeated, can become any number."""

    def __init__(self) -> None:
        self.left = MAX_CHARACTERS

    def take(self, characters: int) -> None:
        """Raises PlainError."""
        self.left -= characters
        if self.left < 0:
            raise _refused(
                f"its tests have more than {MAX_CHARACTERS:,} characters with their variables "
                "filled in. Split it"
            )


def read_suite(content: bytes) -> Suite:
    """Raises PlainError where the configuration cannot be read, or has no usable test."""
    if len(content) > MAX_BYTES:
        raise _refused(f"it is larger than {MAX_BYTES // 1024**2} MB")
    try:
        config = read_yaml(content)
    except InvalidYaml as problem:
        raise _refused(str(problem)) from None
    if not isinstance(config, dict) or not {"prompts", "tests"} <= config.keys():
        raise _refused("it has no “prompts” or no “tests”")
    suite = Suite(name=str(config.get("description") or "")[:100])
    prompt = _first_prompt(config["prompts"], suite)
    asked: dict[int, tuple[list[Message], Asserted]] = {}
    unusable: dict[str, list[int]] = {}
    default = config.get("defaultTest")
    room = _Room()
    for number, test in enumerate(_tests(config["tests"]), 1):
        try:
            asked[number] = _asked(prompt, test, _mapping(default), room)
        except _Unusable as problem:
            unusable.setdefault(str(problem), []).append(number)
    suite.notes += [_left_out(why, numbers) for why, numbers in unusable.items()]
    if not asked:
        raise _refused("none of its tests can be used. " + " ".join(suite.notes))
    _answer(asked, suite)
    return suite


def _answer(asked: Mapping[int, tuple[list[Message], Asserted]], suite: Suite) -> None:
    """Choose the measure, and for each test the wanted answer that it compares with."""
    measure = choose_measure([asserted for _messages, asserted in asked.values()])
    suite.measure, suite.measure_settings = measure.kind, measure.settings
    others = []
    for number, (messages, asserted) in asked.items():
        if wanted := asserted.wanted(measure.checked):
            suite.rows.append([*messages, Message(role="assistant", content=wanted)])
        else:
            others.append(number)
    suite.notes += measure.notes
    if others:
        suite.notes.append(_left_out("its wanted answer is for another measure", others))


def _refused(why: str) -> PlainError:
    return PlainError(
        f"The Promptfoo configuration cannot be read: {why}.".replace("..", "."), status=422
    )


def _first_prompt(prompts: Any, suite: Suite) -> list[Message]:
    """As messages with variables."""
    every = prompts if isinstance(prompts, list) else [prompts]
    if len(every) > 1:
        suite.notes.append(
            f"The first of {len(every)} prompts is used. Try the others in step 4, as instructions."
        )
    first = every[0] if every else ""
    text = str(first.get("raw") or first.get("id") or "") if isinstance(first, dict) else str(first)
    if text.startswith("file://"):
        raise _refused("its prompts are in another file. Write them into the configuration")
    messages = _chat(text) or [Message(role="user", content=text)]
    for message in messages:
        if _OTHER_TEMPLATE.search(_VARIABLE.sub("", message["content"])):
            raise _refused("its prompt has more than plain variables such as {{question}}")
    if not any(message["content"].strip() for message in messages):
        raise _refused("its prompt is empty")
    return messages


def _chat(text: str) -> list[Message]:
    """The messages of a prompt in JSON; none where it is plain text."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        return []
    messages = []
    for one in given:
        content, role = one.get("content"), ROLES.get(str(one.get("role")))
        if isinstance(content, list):
            content = "\n".join(
                str(part.get("text", "")) for part in content if isinstance(part, dict)
            )
        if not isinstance(content, str) or role is None:
            raise _refused("a message of its prompt has no text, or a role that is not known")
        messages.append(Message(role=role, content=content))
    return messages


def _tests(tests: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(tests, list) or any(not isinstance(one, dict) for one in tests):
        raise _refused("its tests are in another file. Write them into the configuration")
    if len(tests) > MAX_TESTS:
        raise _refused(f"it has more than {MAX_TESTS:,} tests")
    yield from tests


def _asked(
    prompt: list[Message], test: dict[str, Any], default: dict[str, Any], room: _Room
) -> tuple[list[Message], Asserted]:
    """The messages before the answer, and all that is asserted of it. Raises _Unusable."""
    variables = {**_mapping(default.get("vars")), **_mapping(test.get("vars"))}
    room.take(len(variables))
    messages = [
        Message(role=message["role"], content=_filled(message["content"], variables, room))
        for message in prompt
    ]
    if messages[-1]["role"] != "user":
        raise _Unusable("the prompt does not end with a question")
    named = next((_text(variables[name]) for name in WANTED if name in variables), "")
    asserted = Asserted(
        own=list(_assertions(test.get("assert"), variables, room)),
        default=list(_assertions(default.get("assert"), variables, room)),
        named=named if named.strip() else "",
    )
    if not asserted.references and not asserted.named:
        raise _Unusable("no wanted answer is given")
    return messages, asserted


def _assertions(given: Any, variables: Mapping[str, Any], room: _Room) -> Iterator[Assertion]:
    for one in given if isinstance(given, list) else []:
        room.take(ASSERTION_CHARACTERS)
        if not isinstance(one, dict):
            continue
        if one.get("type") == "assert-set":
            yield from _assertions(one.get("assert"), variables, room)
            continue
        value, threshold = one.get("value"), one.get("threshold")
        try:
            if isinstance(value, str):
                text = _filled(value, variables, room)
            else:
                text = _counted(_text(value), room)
        except _Unusable:
            text = ""
        yield Assertion(
            kind=str(one.get("type", ""))[:40],
            value=text,
            threshold=threshold if isinstance(threshold, int | float) else None,
            weighted=one.get("weight") not in (None, 1),
        )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _counted(text: str, room: _Room) -> str:
    room.take(len(text) + 1)
    return text


def _filled(text: str, variables: Mapping[str, Any], room: _Room) -> str:
    """Raises _Unusable for a variable without a value."""
    room.take(len(text) + 1)

    def value(found: re.Match[str]) -> str:
        name, at = found[1], variables
        for step in name.split("."):
            at = at[step] if isinstance(at, Mapping) and step in at else None  # type: ignore[assignment]
        if at is None or isinstance(at, list):
            raise _Unusable(f"“{name[:40]}” has no single value")
        shown = _text(at)
        if shown.startswith("file://"):
            raise _Unusable(f"“{name[:40]}” is in another file")
        return _counted(shown, room)

    return _VARIABLE.sub(value, text)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _left_out(why: str, numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:MAX_NAMED])) + (", …" if len(numbers) > MAX_NAMED else "")
    if len(numbers) == 1:
        return f"Test {shown} is left out: {why}."
    return f"{len(numbers):,} tests are left out ({shown}): {why}."

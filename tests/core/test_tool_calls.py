"""Calls in a model's words are found and compared by what they call."""

import json

import pytest

from finetune_app.core.tool_calls import calls_in, canonical, compared_text
from tests.tool_rows import TOOLS

CALL = '{"name": "get_weather", "arguments": {"city": "Rome", "days": 2}}'
SAID = '{"name": "get_weather", "arguments": {"days": 2,  "city": "Rome"}}'
OSLO = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{SAID}\n</tool_call>",  # Hermes, Qwen, SmolLM3
        f"I look it up.\n<tool_call>{SAID}</tool_call>",
        SAID.replace("arguments", "parameters"),  # Llama 3
        f"<|python_tag|>{SAID}",
        f'[TOOL_CALLS][{SAID[:-1]}, "id": "call00001"}}]',  # Mistral
        f"[{SAID}]",  # the same without its special token
        f"```json\n{SAID}\n```",
        SAID.replace('{"days": 2,  "city": "Rome"}', '"{\\"city\\": \\"Rome\\", \\"days\\": 2}"'),
    ],
)
def test_a_call_is_compared_whatever_stands_around_it(text):
    assert compared_text(text, TOOLS) == CALL


def test_calls_at_once_are_compared_in_any_order():
    one, two = (f"<tool_call>{call}</tool_call>" for call in (SAID, OSLO))
    assert compared_text(one + two, TOOLS) == compared_text(f"{two}\n{one}", TOOLS)
    assert compared_text(one + two, TOOLS) == f"[{OSLO}, {CALL}]"


@pytest.mark.parametrize(
    "text",
    [
        "It is sunny in Rome.",
        '{"city": "Rome"}',
        '{"name": "Rome", "arguments": {}}',  # no tool of that name, no mark: an answer in JSON
        f"<tool_call>{SAID[:-1]}",  # cut off
        "<tool_call>Rome</tool_call>",
        f"{SAID} And that is all.",
        "",
    ],
)
def test_other_answers_stay_as_they_are(text):
    assert compared_text(text, TOOLS) == text


def test_a_call_of_a_function_that_is_not_there_is_a_wrong_call():
    text = '<tool_call>{"name": "fly", "arguments": {}}</tool_call>'
    assert compared_text(text, TOOLS) == '{"name": "fly", "arguments": {}}'


def test_without_tools_json_is_an_answer():
    assert compared_text(SAID, []) == SAID


def test_the_text_before_the_calls_is_kept_apart():
    text, [call] = calls_in(f"One moment. <tool_call>{SAID}</tool_call>", TOOLS)
    assert (text, call["name"]) == ("One moment.", "get_weather")


def test_arguments_nested_beyond_reading_are_a_text():
    text = json.dumps({"name": "get_weather", "arguments": "[" * 100_000})
    assert compared_text(text, TOOLS) == text
    call = {"name": "get_weather", "arguments": "[" * 100_000}
    assert canonical([call]).startswith('{"name": "get_weather"')

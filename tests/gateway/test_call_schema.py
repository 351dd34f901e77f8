"""Calls that are required: the engine writes nothing else, whatever the model would say."""

import json
from typing import Literal

import jsonschema
import openai
import pydantic
import pytest

from finetune_app.core.tool_calls import calls_in
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.tool_calls import call_schema
from tests.worker.engine.tiny_models import make_base
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest


class Wheel(pydantic.BaseModel):
    inches: Literal[26, 28]
    worn: bool


class Order(pydantic.BaseModel):
    wheels: list[Wheel] = pydantic.Field(max_length=2)
    front: Wheel
    note: Literal["express", "normal"]


def tool(name: str, parameters: dict | None) -> dict:
    function = {"name": name} | ({} if parameters is None else {"parameters": parameters})
    return {"type": "function", "function": function}


ORDER = openai.pydantic_function_tool(Order, name="order")  # with $defs
STOP = tool("stop", {"type": "object", "properties": {}, "additionalProperties": False})


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "base"
    make_base(folder, "llama")
    with Engine(folder, "fp32") as opened:
        yield opened


@pytest.mark.parametrize("tools", [[ORDER], [STOP, ORDER], [STOP]])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_written_is_a_call_with_its_arguments(engine, tools, seed):
    """The tiny model writes nonsense, drawn at random: only the form makes a call of it."""
    question = [{"role": "user", "content": "Hello"}]
    request = GenerationRequest(
        question, max_new_tokens=900, temperature=1.5, seed=seed, schema=call_schema(tools)
    )
    [answer] = engine.generate([request])
    assert answer.finish_reason == "stop"
    text, [call] = calls_in(answer.text, tools)
    assert text == ""
    parameters = {one["function"]["name"]: one["function"]["parameters"] for one in tools}
    jsonschema.validate(json.loads(call["arguments"]), parameters[call["name"]])


def test_definitions_of_two_functions_do_not_meet():
    """Both have a “Thing”, and mean different ones."""

    def with_thing(kind: str) -> dict:
        return {
            "type": "object",
            "properties": {"thing": {"$ref": "#/$defs/Thing"}},
            "required": ["thing"],
            "$defs": {"Thing": {"type": kind}},
        }

    schema = json.loads(
        call_schema([tool("a", with_thing("string")), tool("b", with_thing("null"))])
    )
    for name, thing, is_valid in (("a", "x", True), ("a", None, False), ("b", None, True)):
        call = {"name": name, "arguments": {"thing": thing}}
        assert jsonschema.Draft202012Validator(schema).is_valid(call) is is_valid


def test_a_function_without_parameters_takes_any_object():
    schema = json.loads(call_schema([tool("a", None)]))
    assert jsonschema.Draft202012Validator(schema).is_valid({"name": "a", "arguments": {"x": 1}})


def test_too_much_is_refused():
    large = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(5_000)}}
    with pytest.raises(ApiError, match="longer than"):
        call_schema([tool("a", large)])


@pytest.mark.parametrize(
    "parameters", ["x", True, [1], {"$defs": [1]}, {"$defs": "ab"}, {"definitions": 5}]
)
def test_parameters_that_are_no_object_are_refused(parameters):
    with pytest.raises(ApiError, match="of the function “a” must be a JSON object"):
        call_schema([tool("a", parameters)])

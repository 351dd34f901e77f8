"""Tools of several kinds, and a request that offers them."""

from typing import Literal

import openai
import pydantic

from tests.tool_rows import TOOLS, question
from worker.engine.requests import GenerationRequest

ROME = [question("Rome")]
FORECAST = {
    "type": "function",
    "function": {
        "name": "forecast",
        "parameters": {
            "type": "object",
            "properties": {"unit": {"enum": ["C", "F"]}},
            "required": ["unit"],
            "additionalProperties": False,
        },
    },
}


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


ORDER = openai.pydantic_function_tool(Order, name="order")  # with $defs, of which one is “Wheel”
THING = tool(  # whose “Wheel” is another one
    "thing",
    {
        "type": "object",
        "properties": {"wheel": {"$ref": "#/$defs/Wheel"}},
        "required": ["wheel"],
        "$defs": {"Wheel": {"const": "none"}},
    },
)
STOP = tool("stop", {"type": "object", "properties": {}, "additionalProperties": False})


def ask(tools=TOOLS, **more) -> GenerationRequest:
    return GenerationRequest(ROME, tools=tuple(tools), **more)

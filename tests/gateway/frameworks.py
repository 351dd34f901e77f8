"""Programs of three frameworks, unchanged apart from address, key and model. Run by
test_frameworks.py in an environment that has them; prints a line of JSON for each step.

    python frameworks.py ADDRESS KEY MODEL STEP...
"""

import json
import sys
import traceback
from collections.abc import Callable

ADDRESS, KEY, MODEL, *STEPS = sys.argv[1:]
ASKED = "Hello there"
FEW, ENOUGH = 60, 400  # tokens: of a text; for what a tiny model puts around a form
TICKET = {
    "title": "Ticket",
    "type": "object",
    "properties": {"urgent": {"type": "boolean"}},
    "required": ["urgent"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def langchain(max_tokens=FEW, **more):
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(base_url=ADDRESS, api_key=KEY, model=MODEL, max_tokens=max_tokens, **more)


def langchain_chat():
    return langchain().invoke(ASKED).content


def langchain_stream():
    return "".join(chunk.content for chunk in langchain().stream(ASKED))


def langchain_structured():
    return langchain(ENOUGH).with_structured_output(TICKET, method="json_schema").invoke(ASKED)


def langchain_tools():
    [call] = langchain().bind_tools([WEATHER], tool_choice="get_weather").invoke(ASKED).tool_calls
    return [call["name"], call["args"]]


def langchain_responses():
    return langchain(use_responses_api=True).invoke(ASKED).text


def llama_index(max_tokens=FEW):
    from llama_index.llms.openai_like import OpenAILike

    return OpenAILike(
        api_base=ADDRESS,
        api_key=KEY,
        model=MODEL,
        is_chat_model=True,
        is_function_calling_model=True,
        temperature=0.0,  # 0.1 otherwise, which draws
        max_tokens=max_tokens,
    )


def llama_index_message():
    from llama_index.core.llms import ChatMessage

    return [ChatMessage(role="user", content=ASKED)]


def llama_index_chat():
    return llama_index().chat(llama_index_message()).message.content


def llama_index_stream():
    return "".join(chunk.delta or "" for chunk in llama_index().stream_chat(llama_index_message()))


def llama_index_structured():
    form = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": TICKET}}
    reply = llama_index(ENOUGH).chat(llama_index_message(), response_format=form)
    return json.loads(reply.message.content)


def llama_index_tools():
    from llama_index.core.tools import FunctionTool

    def get_weather(city: str) -> str:
        """The weather of a city"""
        return city

    model = llama_index()
    reply = model.chat_with_tools(
        [FunctionTool.from_defaults(fn=get_weather)], user_msg=ASKED, tool_required=True
    )
    [call] = model.get_tool_calls_from_response(reply)
    return [call.tool_name, call.tool_kwargs]


def litellm(max_tokens=FEW, **more):
    import litellm as library

    return library.completion(
        model=f"openai/{MODEL}",
        api_base=ADDRESS,
        api_key=KEY,
        messages=[{"role": "user", "content": ASKED}],
        max_tokens=max_tokens,
        **more,
    )


def litellm_chat():
    return litellm().choices[0].message.content


def litellm_stream():
    return "".join(chunk.choices[0].delta.content or "" for chunk in litellm(stream=True))


def litellm_structured():
    form = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": TICKET}}
    return json.loads(litellm(ENOUGH, response_format=form).choices[0].message.content)


def litellm_tools():
    [call] = litellm(tools=[WEATHER], tool_choice="required").choices[0].message.tool_calls
    return [call.function.name, json.loads(call.function.arguments)]


def run(step: Callable[[], object]) -> dict[str, object]:
    try:
        return {"got": step()}
    except Exception:
        return {"broke": traceback.format_exc()[-1500:]}


if __name__ == "__main__":
    for name in STEPS:
        print(json.dumps({"name": name, **run(globals()[name])}), flush=True)

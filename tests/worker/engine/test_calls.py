"""Calls that the engine writes: begun by the model and held, or required. The random model is made
all but sure of what it says."""

import json

import jsonschema
import pytest

from finetune_app.core.tool_calls import calls_in
from tests.starter import FOLDER as STARTER
from tests.starter import needs_starter
from tests.tool_rows import TOOLS
from tests.worker.engine.call_requests import FORECAST, ORDER, ROME, STOP, THING, ask, tool
from tests.worker.engine.tiny_models import make_base
from tests.worker.engine.vllm.conftest import FakeVllm
from tests.worker.thinking_models import THINKING, make_thinking_base
from tests.worker.training.tool_template import TOOL_CHATML
from worker.engine.engine import Engine
from worker.engine.requests import ANY_FORM, GenerationRequest
from worker.engine.structured_output import GrammarCache, UnsupportedSchema
from worker.engine.vocabulary import UnsupportedTokenizer, Vocabulary
from worker.template import load_tokenizer


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = make_base(tmp_path_factory.mktemp("base"), "llama")
    tokenizer = load_tokenizer(folder)
    tokenizer.chat_template = TOOL_CHATML.replace("<|im_", "<|")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def engine(base):
    with Engine(base, "fp32") as opened:
        yield opened


def scripted_model(engine, monkeypatch):
    """Make the model all but sure of a text, one byte a token, wherever it is not held."""
    script: dict[str, list[int]] = {}
    next_logits = engine._decoder.next_logits

    def scripted(_drafts):
        ready, logits = next_logits()
        for row, sequence in zip(logits, ready, strict=True):
            at = len(sequence.output_token_ids)
            token = script["ids"][at] if at < len(script["ids"]) else 257  # the end of the turn
            row[token] += 1_000
        return ready, logits

    def say(text: str) -> None:
        script["ids"] = engine.loaded.tokenizer(text, add_special_tokens=False)["input_ids"]

    monkeypatch.setattr(engine._decoder, "_drafts", dict)
    monkeypatch.setattr(engine._decoder, "next_logits", scripted)
    return say


@pytest.fixture
def says(engine, monkeypatch):
    return scripted_model(engine, monkeypatch)


WRONG = 'Wait.\n<tool_call>\n{"name": "forecasz", "arguments": {"unit": "K"}}\n</tool_call>'
RIGHT = WRONG.replace("forecasz", "forecast")
CALLS = TOOL_CHATML[TOOL_CHATML.index("{% for call") :].partition("{% endfor %}")
TOOLS_AND_THOUGHTS = "{% if tools %}{{ tools | tojson }}{% endif %}" + THINKING.replace(
    "{{- content + ", "{{- content }}" + "".join(CALLS[:2]).replace("message.", "m.") + "{{- "
)


def test_a_model_that_would_write_a_wrong_call_is_held(engine, says):
    """“forecasz” and “K” are not offered: the nearest that are allowed take their place."""
    says(WRONG)
    [free] = engine.generate([GenerationRequest(ROME, max_new_tokens=100)])
    assert free.text == WRONG
    [held] = engine.generate([ask([FORECAST], max_new_tokens=100)])
    assert held.text in [RIGHT.replace("K", unit) for unit in "CF"]
    assert held.finish_reason == "stop"


@pytest.mark.parametrize("text", ["It has 18 degrees.", "a < b, <tool> {}", '{"name": "Ann"}'])
def test_a_model_that_answers_in_words_is_not_held(engine, says, text):
    says(text)
    [answer] = engine.generate([ask([FORECAST], max_new_tokens=100)])
    assert (answer.text, answer.finish_reason) == (text, "stop")


def test_a_second_call_is_written_only_where_several_are_allowed(engine, says):
    call_text = '<tool_call>\n{"name": "forecast", "arguments": {"unit": "C"}}\n</tool_call>'
    says(call_text * 2)
    both, one = (
        engine.generate([ask([FORECAST], parallel_tool_calls=parallel, max_new_tokens=200)])[0]
        for parallel in (True, False)
    )
    assert both.text == call_text * 2
    assert (one.text, one.finish_reason) == (call_text, "stop")


def test_a_thought_is_free_and_the_call_behind_it_is_held(tmp_path, monkeypatch):
    base = make_thinking_base(tmp_path)
    tokenizer = load_tokenizer(base)
    tokenizer.chat_template = TOOLS_AND_THOUGHTS.replace("<|im_", "<|")
    tokenizer.save_pretrained(base)
    thought = "Is it <tool_call>, or not?"
    with Engine(base, "fp32") as thinking:
        scripted_model(thinking, monkeypatch)(f"{thought}\n</think>\n\n{WRONG}")
        request = ask([FORECAST], max_new_tokens=100, thought_tokens=60)
        [answer] = thinking.generate([request])
    assert answer.thought == thought
    assert answer.text in [RIGHT.replace("K", unit) for unit in "CF"]


def token_ids(engine, requests):
    assert all(engine.grammars.grammar(request) is not ANY_FORM for request in requests)
    return [answer.token_ids for answer in engine.generate(requests)]


def without_form(engine, monkeypatch, requests):
    with monkeypatch.context() as patch:
        patch.setattr(engine.grammars, "constraint", lambda _request: None)
        return token_ids(engine, requests)


def test_an_answer_without_a_call_is_the_same_to_the_token(engine, monkeypatch):
    requests = [ask(tools) for tools in ([FORECAST], TOOLS, [FORECAST, *TOOLS])]
    assert token_ids(engine, requests) == without_form(engine, monkeypatch, requests)


@needs_starter
def test_the_starter_answers_with_tools_as_without_a_form(tmp_path, monkeypatch):
    for file in STARTER.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).symlink_to(file)
    (tmp_path / "chat_template.jinja").write_text(TOOL_CHATML)
    ways = [{}, {"temperature": 0.8}, {"frequency_penalty": 0.5}]
    requests = [ask(max_new_tokens=12, **way) for way in ways]
    with Engine(tmp_path, "fp32") as starter:
        assert token_ids(starter, requests) == without_form(starter, monkeypatch, requests)
        required = ask(max_new_tokens=60, required_tools=("get_weather",))
        [answer] = starter.generate([required])
    opened = '<tool_call>\n{"name": "get_weather", "arguments": {'
    assert answer.text.startswith(opened)


@pytest.mark.parametrize("tools", [[ORDER], [STOP, ORDER], [STOP]])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_required_is_a_call_with_its_arguments(engine, tools, seed):
    """The tiny model writes nonsense, drawn at random: only the form makes a call of it."""
    names = tuple(one["function"]["name"] for one in tools)
    request = ask(tools, required_tools=names, max_new_tokens=900, temperature=1.5, seed=seed)
    [answer] = engine.generate([request])
    assert answer.finish_reason == "stop"
    text, [made] = calls_in(answer.text, tools)
    assert text == ""
    parameters = {one["function"]["name"]: one["function"]["parameters"] for one in tools}
    jsonschema.validate(json.loads(made["arguments"]), parameters[made["name"]])


def test_definitions_of_two_functions_do_not_meet(engine, says):
    """Both have a “Wheel”, and mean different ones."""
    tools = [ORDER, THING]
    says('<tool_call>\n{"name": "thing", "arguments": {"wheel": "some"}}\n</tool_call>')
    [answer] = engine.generate([ask(tools, max_new_tokens=100)])
    assert calls_in(answer.text, tools)[1][0]["arguments"] == '{"wheel": "none"}'


def test_a_function_without_parameters_takes_any_object(engine, says):
    said = '<tool_call>\n{"name": "a", "arguments": {"x": [1, null]}}\n</tool_call>'
    says(said)
    for required in ((), ("a",)):
        [answer] = engine.generate(
            [ask([tool("a", None)], required_tools=required, max_new_tokens=90)]
        )
        assert answer.text == said


# --- schemas that cannot be followed ---------------------------------------------------

LOOKAHEAD = {"type": "object", "properties": {"x": {"type": "string", "pattern": "(?=a)b"}}}
UNIQUE = {
    "type": "object",
    "properties": {"x": {"type": "array", "items": {"enum": [1]}, "uniqueItems": True}},
}


@pytest.mark.parametrize("parameters", [LOOKAHEAD, UNIQUE, {"type": "object", "$ref": "#/gone"}])
def test_a_required_call_with_such_a_schema_is_refused(engine, parameters):
    with pytest.raises(UnsupportedSchema, match=r"schema cannot be followed: (?!at )"):
        engine.submit(ask([tool("a", parameters)], required_tools=("a",)))


def test_where_the_model_decides_such_arguments_are_free_and_the_others_held(engine, says):
    tools = [tool("looks", LOOKAHEAD), FORECAST]
    for name, arguments, written in (
        ("lookz", '{"x": 5, "y": 6}', '{"x": 5, "y": 6}'),
        ("forecast", '{"unit": "K"}', '{"unit": "C"}'),
    ):
        says(f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>')
        [answer] = engine.generate([ask(tools, max_new_tokens=100)])
        [made] = calls_in(answer.text, tools)[1]
        assert made["name"] == name.replace("z", "s")
        assert made["arguments"] in (written, written.replace("C", "F"))


def test_of_a_keyword_that_cannot_be_enforced_the_rest_of_the_schema_is(engine, says):
    tools = [tool("a", UNIQUE)]
    says('<tool_call>\n{"name": "a", "arguments": {"x": [1, 2]}}\n</tool_call>')
    [answer] = engine.generate([ask(tools, max_new_tokens=100)])
    assert calls_in(answer.text, tools)[1][0]["arguments"] == '{"x": [1, 1]}'


def test_an_answer_goes_on_freely_where_its_form_becomes_too_complex(engine, says, monkeypatch):
    constraint = engine.grammars.constraint

    def fail(token: int) -> None:
        raise UnsupportedSchema("It became too complex.")

    def failing(request):
        found = constraint(request)
        found.advance = fail
        return found

    monkeypatch.setattr(engine.grammars, "constraint", failing)
    says(WRONG)
    [answer] = engine.generate([ask([FORECAST], max_new_tokens=100)])
    assert answer.text == WRONG


def test_a_template_whose_calls_are_not_found_is_left_free(engine):
    """Nobody asked for a form. A call that is required is written as JSON alone."""
    grammars = GrammarCache(engine.vocabulary, None)
    assert grammars.grammar(ask([FORECAST])) is ANY_FORM
    matcher = grammars.grammar(ask([FORECAST], required_tools=("forecast",))).matcher
    text = '{"name": "forecast", "arguments": {"unit": "C"}}'
    ids = engine.loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert matcher.validate_tokens(ids) == len(ids)


def test_tokens_that_cannot_be_read_as_bytes_leave_an_answer_free(engine, monkeypatch):
    def refuse(_self):
        raise UnsupportedTokenizer("of another kind")

    monkeypatch.setattr(Vocabulary, "tokens", property(refuse))
    grammars = GrammarCache(engine.vocabulary, engine.grammars._call_format)
    assert grammars.grammar(ask([FORECAST])) is ANY_FORM
    with pytest.raises(UnsupportedTokenizer):
        grammars.grammar(ask([FORECAST], required_tools=("forecast",)))


# --- vLLM ------------------------------------------------------------------------------


def test_vllm_is_held_to_the_same_form(base, engine, tmp_path):
    requests = [
        ask([FORECAST], max_new_tokens=90),
        ask([FORECAST, *TOOLS], required_tools=("forecast",), max_new_tokens=90),
    ]
    with FakeVllm(tmp_path, "").open(base) as served:
        served.prepare(requests)
        for request in requests:
            theirs = served.submit(request).result()
            assert theirs.token_ids == engine.generate([request])[0].token_ids
    assert calls_in(theirs.text, [FORECAST])[1][0]["name"] == "forecast"

"""Calls of functions: the model decides whether it calls, and a call that it begins is held to the
offered functions and their schemas; a call that is required is all that is written."""

import copy

import pytest

from tests.families.real_tokenizers import folder_of, is_there
from tests.starter import FOLDER as STARTER
from tests.tool_rows import TOOLS, as_stored, call, calling
from tests.worker.engine.call_requests import FORECAST, ROME, ask
from tests.worker.training.tool_template import TOOL_CHATML
from worker.call_format import call_format
from worker.chat_template import render
from worker.engine.requests import GenerationRequest
from worker.engine.structured_output import GrammarCache
from worker.engine.vocabulary import Vocabulary
from worker.template import load_tokenizer, stop_token_ids

ONE = as_stored([calling(call({"city": "Rome"}))])[0]
TWO = as_stored([calling(call({"city": "Rome"}), call({"city": "Oslo", "days": 2}))])[0]


class Written:
    """How far a family's grammar lets a text be written."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer = tokenizer
        stops = frozenset(stop_token_ids(tokenizer))
        self.stops = stops
        vocabulary = Vocabulary(tokenizer, stops, len(tokenizer))
        self.grammars = GrammarCache(vocabulary, call_format(tokenizer))

    def template_text(self, message) -> str:
        """As the template writes the answer, without its end of turn."""
        prompt = render(self.tokenizer, ROME, TOOLS, add_generation_prompt=True)
        whole = render(self.tokenizer, [*ROME, message], TOOLS, add_generation_prompt=False)
        text = whole.removeprefix(prompt)
        for stop in self.stops:
            text = text.partition(self.tokenizer.decode([stop]))[0]
        return text

    def follow(self, text: str | list[int], request: GenerationRequest) -> tuple[str, bool]:
        """(the part that may be written, whether the answer may end there)."""
        ids = text
        if isinstance(text, str):
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        matcher = self.grammars.grammar(request).matcher.deep_copy()
        count = matcher.validate_tokens(ids)
        assert not count or matcher.consume_tokens(ids[:count])
        return self.tokenizer.decode(ids[:count]), matcher.is_accepting()

    def takes(self, text: str | list[int], request: GenerationRequest) -> bool:
        whole = text if isinstance(text, str) else self.tokenizer.decode(text)
        return self.follow(text, request) == (whole, True)


@pytest.fixture(scope="module", params=["qwen3", "llama3_2", "mistral_nemo", "starter"])
def family(request) -> Written:
    if request.param == "starter":
        if not STARTER.exists():
            pytest.skip("the starter is not here")
        tokenizer = copy.deepcopy(load_tokenizer(STARTER))
        tokenizer.chat_template = TOOL_CHATML
        return Written(tokenizer)
    if not is_there(request.param):
        pytest.skip("its tokenizer is not here: python -m tests.families.real_tokenizers")
    return Written(load_tokenizer(folder_of(request.param)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "18 degrees.",
        "日本語 🦙\n\n```json\n[1]\n```",
        '{"city": "Rome"}',
        "Use <tool> or [TOOL].",
    ],
)
def test_any_text_may_be_written_instead_of_a_call(family, text):
    assert family.takes(text, ask())


def test_tokens_that_are_broken_characters_may_be_written(family):
    """What a model writes of its own is not corrected."""
    ids = family.tokenizer("\u00e9\u65e5", add_special_tokens=False)["input_ids"]
    broken = [one for one in ids if "\ufffd" in family.tokenizer.decode([one])]
    assert family.takes(broken[1:], ask())


def test_the_calls_of_the_template_may_be_written(family):
    assert family.takes(family.template_text(ONE), ask())
    if call_format(family.tokenizer).between is not None:
        assert family.takes(family.template_text(TWO), ask())


def test_a_call_has_the_name_of_an_offered_function(family):
    wrong = family.template_text(ONE).replace("get_weather", "fly")
    written, may_end = family.follow(wrong, ask())
    assert written.rstrip().endswith('"name": "')
    assert not may_end


def test_its_arguments_follow_the_schema(family):
    wrong = family.template_text(ONE).replace('"Rome"', "7")
    written, may_end = family.follow(wrong, ask())
    assert written.rstrip().endswith('"city":')
    assert not may_end


def test_nothing_follows_a_call(family):
    text = family.template_text(ONE)
    assert family.follow(f"{text} Done.", ask()) == (text, True)


def test_a_call_may_follow_a_text_where_a_mark_tells_it(family):
    text = f"One moment. {family.template_text(ONE).replace('get_weather', 'fly')}"
    if call_format(family.tokenizer).has_mark:
        assert family.follow(text, ask())[0].rstrip().endswith('"name": "')
    else:  # behind a text, such JSON is text
        assert family.takes(text, ask())


def test_a_mark_that_is_spelled_out_opens_a_call_too(family):
    """It reads the same, whatever tokens it was written in."""
    form, tokenizer = call_format(family.tokenizer), family.tokenizer
    middle = len(form.opening) // 2
    parts = (form.opening[:middle], form.opening[middle:], f'{form.before_name}fly"')
    ids = [one for part in parts for one in tokenizer(part, add_special_tokens=False)["input_ids"]]
    assert family.follow(ids, ask())[0].rstrip().endswith('"name": "')


def test_one_call_is_the_most_without_parallel_calls(family):
    if call_format(family.tokenizer).between is None:
        return  # this template never writes two
    one, two = (family.template_text(message) for message in (ONE, TWO))
    single = ask(parallel_tool_calls=False)
    assert family.takes(one, single)
    written, _may_end = family.follow(two, single)
    assert "Oslo" not in written


def test_a_required_call_is_all_that_is_written(family):
    required = ask([*TOOLS, FORECAST], required_tools=("get_weather",))
    assert family.takes(family.template_text(ONE), required)
    assert family.follow("It has 18 degrees.", required) == ("", False)
    other = family.template_text(ONE).replace("get_weather", "forecast")
    assert "forecast" not in family.follow(other, required)[0]
    if call_format(family.tokenizer).between is not None:
        assert "Oslo" not in family.follow(family.template_text(TWO), required)[0]

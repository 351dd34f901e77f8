"""Test rows with tools: asked with them, scored by what the answer calls."""

import copy
import json

import pytest

from finetune_app.candidates.prompt_builder import PromptTemplate
from finetune_app.goals.measures import get_measure
from tests.tool_rows import TOOLS, as_stored, calling_row
from tests.worker.engine.tiny_models import make_base
from worker.engine.engine import Engine
from worker.engine.requests import Completion
from worker.evaluation.inputs import Candidate, read_test_rows
from worker.evaluation.run import scored

WANTED = '{"name": "get_weather", "arguments": {"city": "Rome", "days": 2}}'
SAID = '<tool_call>{"name": "get_weather", "arguments": {"days": 2, "city": "%s"}}</tool_call>'


@pytest.fixture
def row(tmp_path):
    line = {"id": 7, "split": "test", "tools": TOOLS}
    line["messages"] = as_stored(calling_row("Rome")["messages"])
    (tmp_path / "version.jsonl").write_text(json.dumps(line) + "\n")
    [found] = read_test_rows(tmp_path / "version.jsonl")
    return found


@pytest.fixture
def candidate(tmp_path):
    return Candidate(1, "base", make_base(tmp_path / "base", "llama"), None, PromptTemplate())


def test_the_call_that_is_wanted_is_compared(row, candidate):
    assert row.wanted == WANTED
    assert candidate.request(row.messages, 8, row.tools).tools == tuple(TOOLS)
    measure = get_measure("exact", {})
    for city, passed in (("Rome", True), ("Oslo", False)):
        event = scored(candidate, row, Completion(SAID % city, 9, "stop", 0.1), measure)
        assert (event["text"], event["passed"]) == (WANTED.replace("Rome", city), passed)
    event = scored(candidate, row, Completion("It is warm.", 9, "stop", 0.1), measure)
    assert (event["text"], event["passed"]) == ("It is warm.", False)


def test_a_template_without_tools_fails_the_prompt_and_says_why(row, candidate):
    with Engine(candidate.base_model, "fp32") as engine:
        request = candidate.request(row.messages, 8, copy.deepcopy(row.tools))
        with pytest.raises(Exception, match="has no tools") as refused:
            engine.submit(request)
    event = scored(candidate, row, refused.value, get_measure("exact", {}))
    assert (event["passed"], event["finish_reason"]) == (False, "refused")
    assert "has no tools" in event["why"]

"""Thoughts and the arguments of tool calls are read by the checks, and rewritten by the fixes."""

import json

import pytest

from finetune_app.checks.detectors.languages import detect_language
from finetune_app.checks.row_texts import rewritten, row_texts
from finetune_app.checks.rules.toxicity import MIN_TOXICITY
from finetune_app.datasets.models import Dataset
from tests.example_rows import conversation, pair
from tests.page_text import compact
from tests.tool_rows import TOOLS, call
from worker.checks.toxicity_and_tokens import toxicity


@pytest.fixture
def dataset_with(add_examples):
    """150 good rows and one with these keys in its answer."""

    def add(**keys: object) -> Dataset:
        rows: list[dict] = [{"messages": conversation(*pair(n))} for n in range(150)]
        rows.append({"messages": conversation("Is this right?", "Yes."), "tools": TOOLS})
        rows[-1]["messages"][1] |= keys
        return add_examples(rows=rows)

    return add


def test_the_same_question_with_other_calls_is_no_duplicate(add_examples):
    examples: list[dict] = [{"messages": conversation(*pair(n))} for n in range(150)]
    for city in ("Oslo", "Rome", "Rome"):
        asked = conversation("And the weather there?", "")
        asked[-1]["tool_calls"] = [call({"city": city})]
        examples.append({"messages": asked, "tools": TOOLS})
    dataset = add_examples(rows=examples)
    repeated = dataset.findings.get(check_name="duplicates")
    assert repeated.message == "1 example repeats another one"  # of Rome
    assert dataset.findings.filter(check_name="contradictions").exists()


@pytest.mark.parametrize(
    ("check", "text", "mended"),
    [
        ("personal", "Write to anna.berg@posteo.de soon", "Write to [email] soon"),
        ("secrets", "password: hunter2Blue9", "password: [password]"),
        ("broken", "So KÃ¶nig is it", "So König is it"),
    ],
)
@pytest.mark.parametrize("where", ["thought", "call"])
def test_what_a_text_must_not_hold_is_found_shown_and_mended(
    as_owner, url, dataset_with, check, text, mended, where
):
    if where == "thought":
        dataset = dataset_with(reasoning_content=text)
    else:
        dataset = dataset_with(tool_calls=[call({"city": text})])
    finding = dataset.findings.get(check_name=check)
    assert finding.examples == [dataset.examples.get(number=151).pk]
    page = compact(as_owner.get(url("checks:health")))
    assert text.split()[-2] in page
    as_owner.post(url("checks:fix", check_name=check))
    answer = dataset.examples.get(number=151).messages[-1]
    if where == "thought":
        assert answer["reasoning_content"] == mended
    else:
        assert json.loads(answer["tool_calls"][0]["function"]["arguments"]) == {"city": mended}
    assert not dataset.findings.filter(check_name=check).exists()
    as_owner.post(url("undo", edit_id=dataset.edits.latest("pk").pk))
    assert dataset.findings.filter(check_name=check).exists()


def test_arguments_stay_json_where_a_number_is_replaced():
    message = {
        "role": "assistant",
        "content": "",
        "tool_calls": [call({"card": 4111111111111111, "to": ["a", 2, None]})],
    }
    new = rewritten(message, lambda text: text.replace("4111111111111111", "[card]"))
    arguments = new["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"card": "[card]", "to": ["a", 2, None]}


def test_arguments_that_cannot_be_rewritten_stay_as_they_are():
    message = {"role": "assistant", "content": "", "tool_calls": [call({"city": "Oslo"})]}
    assert rewritten(message, lambda text: text.replace('{"city"', "{city")) == message


def test_the_texts_of_messages_come_first():
    """Findings of earlier checks name a text by its place."""
    messages = conversation("Hello", "Hi")
    assert row_texts(messages, "Go") == ["Hello", "Hi", "Go"]
    messages[1] |= {"reasoning_content": "Hm.", "tool_calls": [call({"city": "Oslo"})]}
    assert row_texts(messages, "Go") == ["Hello", "Hi", "Go", "Hm.", '{"city": "Oslo"}']


def test_a_thought_tells_the_language_of_a_short_question():
    messages = conversation("2 + 2?", "4")
    assert detect_language(messages) == ""
    messages[1]["reasoning_content"] = (
        "Zwei und zwei sind vier, das weiß ich ohne lange zu rechnen und ohne jeden Zweifel"
    )
    assert detect_language(messages) == "de"


def test_a_rude_thought_makes_the_example_rude():
    messages = conversation("When is it ready?", "Tomorrow.")
    rude = [*messages[:1], messages[1] | {"reasoning_content": "What a stupid fucking idiot."}]
    polite, impolite = toxicity([messages, rude], ["en", "en"])
    assert polite < MIN_TOXICITY < impolite


def test_thoughts_count_in_the_lengths(dataset_with):
    dataset = dataset_with(reasoning_content="I think so. " * 2_000)
    dataset.refresh_from_db()
    assert dataset.facts["lengths"]["longest"] > 24_000

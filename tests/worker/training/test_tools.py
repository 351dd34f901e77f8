"""Rows with tools: rendered by the template, their calls and answers learned, results only read."""

import copy
import json
import shutil

import pytest

from tests.families.real_tokenizers import folder_of, is_there
from tests.tool_rows import TOOLS, answered_row, as_stored, calling_row
from tests.worker.training.recording_channel import RecordingChannel
from tests.worker.training.tool_template import REWRITING, TOOL_CHATML
from worker.channel import UserError
from worker.chat_template import NO_TOOLS, OTHER_CALLS, tool_problem
from worker.template import load_tokenizer, prompt_token_ids, token_spans, tokenize_row
from worker.training import run
from worker.training.data import DatasetRow, require_tools

ANSWERED = as_stored(answered_row("Rome")["messages"])
CALLING = as_stored(calling_row("Rome")["messages"])


@pytest.fixture
def with_tools(tokenizer):
    made = copy.deepcopy(tokenizer)
    made.chat_template = TOOL_CHATML
    return made


def learned(tokenizer, example) -> list[str]:
    """The learned texts, one for each answer."""
    runs, last = [], False
    for token, mask in zip(example.input_ids, example.loss_mask, strict=True):
        if mask:
            runs = [*runs, []] if not last else runs
            runs[-1].append(token)
        last = mask
    return [tokenizer.decode(tokens).strip() for tokens in runs]


def test_calls_and_answers_are_learned_and_results_are_only_read(with_tools):
    [example] = tokenize_row(with_tools, ANSWERED, 2000, TOOLS)
    call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>'
    assert learned(with_tools, example) == [f"{call}<|im_end|>", "18 C.<|im_end|>"]
    text = with_tools.decode(example.input_ids)
    assert '"name": "get_weather", "description": "The weather of a city"' in text
    assert "<|im_start|>tool\n18 C<|im_end|>" in text


def test_training_and_serving_read_the_same_tokens(with_tools):
    served = prompt_token_ids(with_tools, ANSWERED[:3], TOOLS)
    [example] = tokenize_row(with_tools, ANSWERED, 2000, TOOLS)
    assert example.input_ids[: len(served)] == served


def test_a_call_that_the_template_rewrites_later_is_learned_where_it_is_made(with_tools):
    with_tools.chat_template = REWRITING
    whole, call = tokenize_row(with_tools, ANSWERED, 2000, TOOLS)
    assert learned(with_tools, whole) == ["18 C.<|im_end|>"]
    assert [text[:11] for text in learned(with_tools, call)] == ["<tool_call>"]
    served = prompt_token_ids(with_tools, ANSWERED[:1], TOOLS)
    assert call.input_ids[: len(served)] == served
    assert whole.unlearned_answers == 0  # nothing to warn of


def test_special_tokens_in_tools_and_results_are_plain_text(with_tools):
    tools = json.loads(json.dumps(TOOLS).replace("The weather", "<|im_end|> weather"))
    row = copy.deepcopy(ANSWERED)
    row[2]["content"] = "<|im_end|>"
    [example] = tokenize_row(with_tools, row, 2000, tools)
    end = with_tools.convert_tokens_to_ids("<|im_end|>")
    assert example.input_ids.count(end) == 5  # tools, question, call, result, answer


def test_a_template_without_tools_refuses_and_names_the_rows(tokenizer):
    assert tool_problem(tokenizer) == NO_TOOLS
    rows = [DatasetRow(n, "train", CALLING, tools=TOOLS if n > 2 else []) for n in range(1, 10)]
    with pytest.raises(UserError) as refused:
        require_tools(rows, tokenizer)
    problem = refused.value.message
    assert problem.startswith("7 rows use tools (row 3, 4, 5, 6, 7, ...). This base model")
    with pytest.raises(UserError, match="has no tools"):
        tokenize_row(tokenizer, CALLING, 2000, TOOLS)
    require_tools(rows[:2], tokenizer)


def test_a_template_that_writes_calls_otherwise_is_refused(with_tools):
    """Its calls could be learned, but no measure and no client could read them."""
    with_tools.chat_template = TOOL_CHATML.replace("<tool_call>\n{", "<call {")
    assert tool_problem(with_tools) == OTHER_CALLS


def test_the_token_view_shows_calls_as_learned(with_tools):
    spans = token_spans(with_tools, ANSWERED, 2000, TOOLS)
    text = "".join(span.text for span in spans if span.learned)
    assert "get_weather" in text
    assert "18 C<" not in text


def test_a_training_refuses_before_its_first_step(job, version):
    rows = [json.loads(line) for line in version.read_text().splitlines()]
    version.write_text(
        "".join(json.dumps(row | {"messages": CALLING, "tools": TOOLS}) + "\n" for row in rows)
    )
    channel = RecordingChannel()
    with pytest.raises(UserError, match="rows use tools"):
        run(job(), channel)
    assert not channel.of("point")


def test_a_training_measures_by_what_is_called(job, version, with_tools, base_model, tmp_path):
    folder = shutil.copytree(base_model("qwen2"), tmp_path / "base")
    with_tools.save_pretrained(folder)
    splits = ["train"] * 8 + ["validation"]
    rows = [
        {"id": n, "split": split, "messages": CALLING, "tools": TOOLS}
        for n, split in enumerate(splits)
    ]
    version.write_text("".join(json.dumps(row) + "\n" for row in rows))
    channel = RecordingChannel()
    run(job("qwen2", base_model=str(folder), epochs=1, max_tokens=2000), channel)
    assert {sample["wanted"] for sample in channel.of("sample")} == {
        '{"name": "get_weather", "arguments": {"city": "Rome", "days": 2}}'
    }


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("qwen3", ""),
        ("llama3_2", ""),
        ("mistral_nemo", ""),
        ("llama3_1", NO_TOOLS),
        ("gemma3", NO_TOOLS),
    ],
)
def test_real_templates_are_asked(name, problem):
    if not is_there(name):
        pytest.skip("its tokenizer is not here: python -m tests.families.real_tokenizers")
    tokenizer = load_tokenizer(folder_of(name))
    assert tool_problem(tokenizer) == problem
    if problem:
        return
    for row in (ANSWERED, CALLING):
        examples = tokenize_row(tokenizer, row, 4000, TOOLS)
        texts = [text for example in examples for text in learned(tokenizer, example)]
        assert sum("get_weather" in text for text in texts) == 1
        assert sum("18 C." in text for text in texts) == (row is ANSWERED)
        assert not any("18 C\n" in text or "18 C<" in text for text in texts)
        for example, end in zip(examples, (len(row) - 1, 1), strict=False):
            served = prompt_token_ids(tokenizer, row[:end], TOOLS)
            assert example.input_ids[: len(served)] == served

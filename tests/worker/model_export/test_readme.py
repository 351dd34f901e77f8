"""The README of an export says how to ask the model as it was taught."""

import copy

import pytest

from tests.families.real_tokenizers import folder_of, is_there
from tests.worker.model_export.conftest import CARD
from tests.worker.training.conftest import tokenizer  # noqa: F401
from tests.worker.training.tool_template import TOOL_CHATML
from worker.chat_template import used_options
from worker.model_export.readme import readme
from worker.template import load_tokenizer

PARITY = {
    "prompts": 2,
    "tokens": 12,
    "same_tokens": 12,
    "same_answers": 2,
    "mean_difference": 0.0,
    "max_difference": 0.0,
    "spread": 1.0,
}
THINKING = TOOL_CHATML.replace(
    "assistant\n' }}{% endif %}",
    "assistant\n' }}{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think></think>' }}{% endif %}{% endif %}",
)


def text(template, tokenizer, container, has_modelfile=False, **more):  # noqa: F811
    made = copy.deepcopy(tokenizer)
    made.chat_template = template
    spec = {
        "container": container,
        "number_format": "bf16",
        "name": "sort",
        "card": CARD,
        "thinking": "no",
        "adapter": "adapter",
        "in_4bit": False,
    }
    return readme(spec | more, "sort.gguf", PARITY, made, has_modelfile=has_modelfile)


def test_the_switches_of_the_template_are_named(tokenizer):  # noqa: F811
    assert "\n    enable_thinking=False,\n)" in text(THINKING, tokenizer, "merged")
    shell = text(THINKING, tokenizer, "gguf")
    assert """--chat-template-kwargs '{"enable_thinking": false}'""" in shell


def test_a_model_that_was_taught_to_think_is_asked_to(tokenizer):  # noqa: F811
    merged = text(THINKING, tokenizer, "merged", thinking="short")
    assert "enable_thinking=True" in merged
    assert "a thought had at most 256 tokens" in " ".join(merged.split())
    gguf = text(THINKING, tokenizer, "gguf", thinking="yes")
    assert """--chat-template-kwargs '{"enable_thinking": true}'""" in gguf
    assert "Ollama would show what the model thinks" in gguf
    assert "think before it answers" not in text(THINKING, tokenizer, "merged")


def test_a_template_without_switches_names_none(tokenizer):  # noqa: F811
    for container in ("merged", "gguf"):
        assert "enable_thinking" not in text(TOOL_CHATML, tokenizer, container)
        assert "date_string" not in text(TOOL_CHATML, tokenizer, container)


def test_a_modelfile_without_tools_says_so(tokenizer):  # noqa: F811
    sentence = "The Modelfile knows no tools."
    assert sentence in text(TOOL_CHATML, tokenizer, "gguf", has_modelfile=True)
    assert sentence not in text(tokenizer.chat_template, tokenizer, "gguf", has_modelfile=True)
    assert sentence not in text(TOOL_CHATML, tokenizer, "gguf")


@pytest.mark.parametrize(
    ("spec", "reference"),
    [
        ({}, "the base model with its adapter"),
        ({"in_4bit": True}, "the base model, rounded to 4 bits, with its adapter"),
        ({"adapter": None}, "the model that the training left"),
    ],
)
def test_it_says_what_the_file_was_compared_with(spec, reference, tokenizer):  # noqa: F811
    assert f"compared with {reference}, on" in text(TOOL_CHATML, tokenizer, "merged", **spec)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("qwen3", {"enable_thinking": False}),
        ("llama3_2", {"date_string": "26 Jul 2024"}),
        ("mistral_nemo", {}),
        ("gemma3", {}),
    ],
)
def test_real_templates_are_asked_for_their_switches(name, options):
    if not is_there(name):
        pytest.skip("its tokenizer is not here: python -m tests.families.real_tokenizers")
    assert used_options(load_tokenizer(folder_of(name))) == options

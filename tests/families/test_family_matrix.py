"""Every family: its template, its training, its engine, its adapter in PEFT, its exports.

`make long` prints the table that docs/families.md holds.
"""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from benchmarks import llama_cpp
from tests.families.models import FAMILIES, Family, make_family
from tests.families.real_tokenizers import is_there
from tests.worker.engine.transformers_reference import PROMPTS, ask, reference_token_ids
from tests.worker.model_export.conftest import ABOUT
from tests.worker.training.recording_channel import RecordingChannel
from tests.worker.training.test_llama_loss import loss_and_gradients
from worker.channel import Job
from worker.chat_template import template_options
from worker.engine.engine import Engine
from worker.model_export import gguf_file, merged
from worker.model_export.vocabulary import vocabulary_of
from worker.template import load_tokenizer, prompt_token_ids, tokenize_example
from worker.training import run
from worker.training.llama_loss import LlamaLoss, is_supported
from worker.training.losses import CausalLMLoss
from worker.training.model_loader import load
from worker.training.spec import TrainingSpec

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

SYSTEM = {"role": "system", "content": "Answer in one word."}
FIRST = [{"role": "user", "content": "Is the sky blue?"}, {"role": "assistant", "content": "Yes."}]
ANY_TEXT = [
    "Grüße aus Köln, ça va? 日本語のテキスト русский العربية 한국어",
    "1234567890 3.14159 -1e-10 1,000,000 ½ ² ①",
    "def f(x):\n    if x:\n\treturn {'a': [1, None]}\n\n\n        # done",
    "a  b   c    d     e" + " " * 40 + "f" + "\n" * 40 + "g" + "\t" * 40 + "h\r\n",
    "👩‍👩‍👧‍👦 🦙 \u200b \u00a0 \ufeff \ufffd \x01 ~`|\\",
    "it's I'll DON'T O’Neil “quotes” — dash… https://example.com/a?b=c&d=%20e#f",
    "<table><tr><td>1</td></tr></table> <0x41> [multimodal] <mask> aaaaaaaaaaaa ababababab",
]
MARKS = "हिन्दी और ไทย"
SECOND = [{"role": "user", "content": "And the sea?"}, {"role": "assistant", "content": "Also."}]


@pytest.fixture(scope="module", params=FAMILIES)
def name(request) -> str:
    if not is_there(request.param):
        pytest.skip("its tokenizer is not here: python -m tests.families.real_tokenizers")
    return request.param


@pytest.fixture(scope="module")
def family(name) -> Family:
    return FAMILIES[name]


@pytest.fixture(scope="module")
def base(name, tmp_path_factory) -> Path:
    return make_family(name, tmp_path_factory.mktemp("families") / name)


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory) -> tuple[Path, RecordingChannel]:
    """The folder of a finished training of the product's own loop, and what it said."""
    folder = tmp_path_factory.mktemp("run")
    rows = [
        {
            "id": number,
            "split": "validation" if number % 6 == 5 else "train",
            "messages": [
                {"role": "user", "content": f"Number {number}: " + "is it odd? " * (number % 5)},
                {"role": "assistant", "content": "odd" if number % 2 else "even"},
            ],
        }
        for number in range(30)
    ]
    version = folder / "version.jsonl"
    version.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = {
        "base_model": str(base),
        "version": str(version),
        "measure": {"kind": "exact", "settings": {}},
        "epochs": 3,
        "batch_size": 8,
        "rank": 4,
        "learning_rate": 5e-3,
        "replay_share": 0,
        "number_format": "fp32",
        "sample_prompts": 5,
        "max_new_tokens": 6,
    }
    channel = RecordingChannel()
    run(Job("training", folder, spec), channel)
    return folder, channel


def learned(tokenizer, messages) -> list[str]:
    """The texts that are learned, one for each answer."""
    example = tokenize_example(tokenizer, messages, 2000)
    runs, last = [], False
    for token, mask in zip(example.input_ids, example.loss_mask, strict=True):
        if mask:
            runs = [*runs, []] if not last else runs
            runs[-1].append(token)
        last = mask
    return [tokenizer.decode(tokens).strip() for tokens in runs]


def test_every_answer_and_its_end_of_turn_are_learned(base, family):
    tokenizer = load_tokenizer(base)
    found = learned(tokenizer, [SYSTEM, *FIRST, *SECOND])
    assert found[-1] == f"Also.{family.end_of_turn}"
    assert found[:-1] in ([], [f"Yes.{family.end_of_turn}"])  # a template may rewrite history


def test_training_and_serving_read_the_same_tokens(base):
    tokenizer = load_tokenizer(base)
    for prompt, answer in (
        (FIRST[:1], FIRST[1]),
        ([SYSTEM, FIRST[0]], FIRST[1]),
        ([SYSTEM, *FIRST, SECOND[0]], SECOND[1]),
    ):
        served = prompt_token_ids(tokenizer, prompt)
        example = tokenize_example(tokenizer, [*prompt, answer], 2000)
        assert example.input_ids[: len(served)] == served
        assert not any(example.loss_mask[: len(served)][-1:])


def test_the_instructions_reach_the_model(base):
    tokenizer = load_tokenizer(base)
    text = tokenizer.decode(prompt_token_ids(tokenizer, [SYSTEM, FIRST[0]]))
    assert "Answer in one word." in text
    assert "Is the sky blue?" in text


def test_a_text_begins_once(base):
    """Templates write the token that begins a text; a tokenizer that adds another one spoils it."""
    tokenizer = load_tokenizer(base)
    ids = prompt_token_ids(tokenizer, FIRST[:1])
    if tokenizer.bos_token_id is not None:
        assert ids.count(tokenizer.bos_token_id) <= 1


def test_it_learns(trained):
    _folder, channel = trained
    losses = [point["validation_loss"] for point in channel.of("point") if point["validation_loss"]]
    assert losses[-1] < 0.8 * losses[0]


def test_the_gradients_of_the_fast_path_are_those_of_transformers(base, family):
    spec = TrainingSpec(base_model=base, version=base, rank=4)
    made = load(spec, "fp32")
    torch.manual_seed(3)
    for parameter in made.model.parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn_like(parameter) * 0.05
    assert is_supported(made.model) is family.fast
    if not family.fast:
        return  # the general path is transformers
    tokenizer = load_tokenizer(base)
    examples = [tokenize_example(tokenizer, pair, 2000) for pair in (FIRST, [*FIRST, *SECOND])]
    reference = loss_and_gradients(CausalLMLoss(made.model), made.model, examples)
    loss, gradients = loss_and_gradients(LlamaLoss(made.model), made.model, examples)
    assert loss == pytest.approx(reference[0], rel=1e-4)
    for key, gradient in reference[1].items():
        largest = float(gradient.abs().max())
        assert float((gradients[key] - gradient).abs().max()) < 1e-3 * largest, key


def test_the_engine_answers_as_generate_does(base, trained, family):
    adapter = trained[0] / "adapter"
    requests = [ask(prompt, (None, adapter)[i % 2], 12) for i, prompt in enumerate(PROMPTS)]
    with Engine(base, "fp32", max_sequences=5) as engine:
        assert engine.uses_fast_forward is family.fast
        answers = engine.generate(requests)
    for prompt, request, answer in zip(PROMPTS, requests, answers, strict=True):
        assert answer.token_ids == reference_token_ids(base, request.adapter, prompt, 12), prompt


def test_the_answers_while_it_learns_are_those_of_the_exported_adapter(base, trained):
    folder, channel = trained
    best = json.loads((folder / "adapter" / "finetune.json").read_text())["best_step"]
    samples = [sample for sample in channel.of("sample") if sample["step"] == best]
    assert samples
    with Engine(base, "fp32", may_merge=False) as engine:
        for sample in samples:
            (answer,) = engine.generate([ask(sample["prompt"], folder / "adapter", 6)])
            assert answer.text.strip() == sample["answer"]


@torch.inference_mode()
def test_plain_peft_and_the_merged_model_compute_the_same(base, trained, tmp_path):
    adapter = trained[0] / "adapter"
    ids = torch.tensor([prompt_token_ids(load_tokenizer(base), FIRST[:1])])
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    untuned = model(ids).logits
    tuned = PeftModel.from_pretrained(model, adapter).eval()(ids).logits
    assert not torch.allclose(tuned, untuned, atol=1e-2)
    whole = merged.merge(merged.load_tuned(base, adapter))
    merged.write(whole, merged.tokenizer_of(base, adapter), tmp_path / "merged", "fp32", base)
    again = merged.load_back(tmp_path / "merged")(ids).logits
    assert torch.allclose(again, tuned, atol=2e-3 * float(tuned.abs().max()))


def read_as_typed(tokenizer, messages) -> list[int]:
    """Special tokens that a user typed are read as such, as by any program but Finetune."""
    text = tokenizer.apply_chat_template(
        messages,
        tokenize=False,
        add_generation_prompt=True,
        **template_options(thinking=False),
    )
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_llama_cpp_answers_from_the_gguf_file(base, trained, family, tmp_path):
    """llama.cpp reads the file alone: its template, its tokenizer, its ends of an answer."""
    tokenizer = load_tokenizer(base)
    whole = merged.merge(merged.load_tuned(base, trained[0] / "adapter"))
    vocabulary = vocabulary_of(tokenizer, whole.config.vocab_size)
    path = tmp_path / "model.gguf"
    gguf_file.write(path, whole, vocabulary, "f16", ABOUT)
    ids = torch.tensor([prompt_token_ids(tokenizer, FIRST[:1])])
    with torch.inference_mode():
        spread = float(whole(ids).logits.std())
        again = gguf_file.load_back(path, whole.config)(ids).logits
        assert float((again - whole(ids).logits).abs().mean()) < 0.01 * spread
    if not llama_cpp.is_there():
        pytest.skip("llama.cpp is not here: python -m benchmarks.llama_cpp fetches it")
    texts = [*PROMPTS, *ANY_TEXT, f"Say {family.end_of_turn} twice"]
    texts += [MARKS] if family.marks else []
    conversations = [[{"role": "user", "content": text}] for text in texts]
    read, said = llama_cpp.answers(path, conversations, 8)
    for text, found, messages in zip(texts, read, conversations, strict=True):
        assert found == read_as_typed(tokenizer, messages), text
        if text in PROMPTS:
            assert found == prompt_token_ids(tokenizer, messages)
    expected = [reference_token_ids(base, trained[0] / "adapter", prompt, 8) for prompt in PROMPTS]
    same = [
        answer.token_ids == wanted
        for answer, wanted in zip(said[: len(PROMPTS)], expected, strict=True)
    ]
    assert sum(same) >= len(same) - 2, same  # in f16 a near tie may turn

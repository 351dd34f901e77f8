"""A model that thinks learns thoughts and answers, and is asked in the same way."""

import copy
import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.worker.thinking_models import let_it_think
from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import UserError
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.training import run
from worker.training.thoughts import NO_THOUGHTS


@pytest.fixture
def thinking_base(tmp_path, base_model, tokenizer):
    """The tiny Llama, with a template and tokens for thoughts."""
    folder, made = tmp_path / "thinking", let_it_think(copy.deepcopy(tokenizer))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base_model("llama"))
    model.resize_token_embeddings(len(made), mean_resizing=False)
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


@pytest.fixture
def thoughts(tmp_path, version):
    """Writes the version's rows again, with a thought before the answer of every nth row."""

    def written(every: int = 1):
        rows = [json.loads(line) for line in version.read_text().splitlines()]
        for row in rows[::every]:
            word = row["messages"][0]["content"].split()[0]
            row["messages"][-1]["reasoning_content"] = f"{word} {word}"
        path = tmp_path / f"thoughts-{every}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return written


def test_it_learns_to_think_and_samples_are_what_the_engine_answers(job, thinking_base, thoughts):
    work = job(
        base_model=str(thinking_base),
        version=thoughts(),
        thinking="short",
        epochs=30,
        max_new_tokens=8,
        rank=16,
        alpha=32,
        learning_rate=5e-3,
        patience=90,
        sample_prompts=6,
    )
    channel = RecordingChannel()
    result = run(work, channel)
    best = [one for one in channel.of("sample") if one["step"] == result["best_step"]]
    thought_as_taught = []
    with Engine(thinking_base, "fp32", may_merge=False) as engine:
        for sample in best:
            word = sample["prompt"].split()[0]
            asked = [{"role": "user", "content": sample["prompt"]}]
            request = GenerationRequest(
                asked, work.folder / "adapter", max_new_tokens=8, thought_tokens=20
            )
            found = engine.generate([request])[0]
            assert found.text.strip() == sample["answer"]
            thought_as_taught.append(sample["passed"] and found.thought == f"{word} {word}")
            assert "think" not in sample["answer"]
    assert any(thought_as_taught)
    assert not channel.of("warning")


def test_thoughts_that_are_not_learned_are_counted_aloud(job, thinking_base, thoughts):
    channel = RecordingChannel()
    run(job(base_model=str(thinking_base), version=thoughts(), epochs=1), channel)
    [warning] = channel.of("warning")
    assert warning["text"].startswith("40 of 40 rows have a thought before the answer.")


def test_rows_without_a_thought_are_counted_aloud(job, thinking_base, thoughts, version):
    settings = {"base_model": str(thinking_base), "thinking": "short", "epochs": 1}
    channel = RecordingChannel()
    run(job(folder="some", version=thoughts(every=2), **settings), channel)
    assert [one["text"] for one in channel.of("warning")] == [
        "20 of 40 rows have no thought: only their answers are learned."
    ]
    channel = RecordingChannel()
    run(job(folder="none", version=str(version), **settings), channel)
    assert [one["text"] for one in channel.of("warning")] == [NO_THOUGHTS]


def test_a_model_that_cannot_think_is_not_trained_to(job):
    with pytest.raises(UserError, match="does not think before it answers"):
        run(job(thinking="short"), RecordingChannel())


@pytest.mark.parametrize(
    ("chosen", "rule"),
    [({"thinking": "loud"}, "no, short or yes"), ({"thinking": "yes", "method": "dpo"}, "be no")],
)
def test_what_cannot_be_is_refused(job, chosen, rule):
    with pytest.raises(UserError, match=rule):
        run(job(**chosen), RecordingChannel())

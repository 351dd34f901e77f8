"""A model of which every weight was trained is compared with the base model it came from."""

import json
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.evaluation.paired_engine import PairedEngine
from worker.evaluation.run import run
from worker.template import load_tokenizer


@pytest.fixture
def tuned(base, tmp_path):
    """The base model with other weights, as a training leaves it."""
    folder = tmp_path / "runs" / "7" / "model"
    model = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    load_tokenizer(base).save_pretrained(folder)
    return folder


@pytest.fixture
def full_job(job, base, tuned):
    fp32 = {"number_format": "fp32"}
    whole = {"base_model": str(tuned), "adapter": None, "tuned_from": str(base)}
    spec = job.spec | {
        "candidates": [
            {"id": 3, "name": "base", "base_model": str(base), "adapter": None, **fp32},
            {"id": 4, "name": "tuned", **whole, **fp32},
        ],
        "general": True,
        "learned_from": job.spec["version"],
    }
    return replace(job, spec=spec)


@pytest.mark.usefixtures("short_checks")
def test_it_answers_with_its_own_weights_and_is_checked_against_its_base(
    full_job, base, tuned, recorder
):
    channel = recorder()
    result = run(full_job, channel)
    assert result["number_formats"] == {"3": "fp32", "4": "fp32"}
    asked = [{"role": "user", "content": "Message xx"}]
    answers = {a["candidate"]: a["text"] for a in channel.of("answer") if a["row"] == 12}
    for folder, candidate in ((base, 3), (tuned, 4)):
        with Engine(folder, "fp32") as engine:
            expected = engine.generate([GenerationRequest(asked, max_new_tokens=12)])[0].text
        assert answers[candidate] == expected
    assert answers[3] != answers[4]
    for check in ("general", "refusals", "recall"):
        assert [event["candidate"] for event in channel.of(check)] == [4]
    general = channel.of("general")[0]
    assert general["perplexity_ratio"] != 1
    assert any(one["base"] != one["tuned"] for one in general["answers"])


def test_a_pair_of_engines_answers_by_the_folder_that_is_named(base, tuned):
    asked = [{"role": "user", "content": "Message"}]
    with Engine(base, "fp32") as one, Engine(tuned, "fp32") as other:
        pair = PairedEngine(one, other)
        by_base = pair.submit(GenerationRequest(asked, max_new_tokens=8)).result().text
        by_tuned = pair.submit(GenerationRequest(asked, tuned, max_new_tokens=8)).result().text
        alone = other.generate([GenerationRequest(asked, max_new_tokens=8)])[0].text
        ids = torch.tensor([[1, 5, 9]])
        assert torch.equal(pair.logits(ids, tuned), other.logits(ids))
        assert torch.equal(pair.logits(ids), one.logits(ids))
    assert by_tuned == alone != by_base
    assert json.loads((tuned / "config.json").read_text())["model_type"] == "llama"

"""QLoRA: a LoRA adapter is trained beside base weights in 4-bit, here on bitsandbytes' CPU part."""

import json
import shutil

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from finetune_app.training.protocol import EVERYDAY
from tests.starter import FOLDER, needs_starter
from tests.worker.own_process import in_own_process
from tests.worker.training.base_model_says import base_probabilities
from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import Job, UserError
from worker.engine.chunked_decoder import ChunkedDecoder
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.quantisation import quantised_loading
from worker.template import TokenizedExample, load_tokenizer, tokenize_example
from worker.training import checkpoints, loop, run
from worker.training.data import collate
from worker.training.losses import CausalLMLoss
from worker.training.model_loader import load
from worker.training.prepare import choose_loss
from worker.training.spec import TrainingSpec
from worker.training.validation_answers import ValidationAnswers

pytest.importorskip("bitsandbytes")

QLORA = {"tuning": "qlora", "number_format": "auto", "learning_rate": 2e-2}


def loaded(folder, tuning="qlora"):
    spec = TrainingSpec(base_model=folder, version=folder, rank=4, alpha=8, tuning=tuning)
    return load(spec, "bf16")


def linear_bytes(model, names=("q_proj", "down_proj")):
    return sum(
        parameter.nbytes
        for name, parameter in model.named_parameters()
        if any(f"{one}.base_layer.weight" in name for one in names)
    )


def validation_losses(channel):
    return [p["validation_loss"] for p in channel.of("point") if p["validation_loss"] is not None]


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt_neox"])
def test_any_architecture_learns_beside_4_bit_weights(job, kind):
    channel = RecordingChannel()
    result = run(job(kind, epochs=6, replay_share=0.125, **QLORA), channel)
    losses = validation_losses(channel)
    assert result["validation_loss"] < 0.8 * losses[0]
    assert result["number_format"] == "bf16"
    assert result["steps"] == 30


def test_it_learns_in_another_number_format_after_a_training_in_bf16(job):
    """What the base model said in bf16 is no target in fp32."""
    replay = QLORA | {"epochs": 2, "replay_share": 0.5}
    assert run(job(folder="bf16", **replay), RecordingChannel())["number_format"] == "bf16"
    again = job(folder="fp32", **(replay | {"number_format": "fp32"}))
    # As of the starter model, whose recorded answers are the same in each number format.
    shutil.copy(job(folder="bf16").folder / EVERYDAY, again.folder / EVERYDAY)
    assert run(again, RecordingChannel())["number_format"] == "fp32"


def test_the_linear_layers_take_a_quarter_of_the_bytes(base_model):
    packed, plain = loaded(base_model()), loaded(base_model(), "lora")
    assert linear_bytes(packed.model) * 4 == linear_bytes(plain.model)
    trained = [p.dtype for p in packed.model.parameters() if p.requires_grad]
    assert set(trained) == {torch.bfloat16}


def test_bitsandbytes_is_imported_only_for_4_bit_weights(base_model):
    """In a process of its own, as a job's, since here it is imported."""
    program = (
        "import sys; from pathlib import Path\n"
        "from worker.quick_import import UNUSED, quick_import\n"
        "quick_import(['worker.training.model_loader'], UNUSED)\n"
        "from worker.training.model_loader import load\n"
        "from worker.training.spec import TrainingSpec\n"
        f"folder = Path({str(base_model())!r})\n"
        "def layers(tuning):\n"
        "    spec = TrainingSpec(base_model=folder, version=folder, tuning=tuning)\n"
        "    return {type(layer).__name__ for layer in load(spec, 'bf16').model.modules()}\n"
        "assert 'Linear' in layers('lora') and 'bitsandbytes' not in sys.modules\n"
        "assert 'Linear4bit' in layers('qlora')\n"
    )
    in_own_process(program)


def test_what_reads_raw_weights_takes_the_general_path(base_model, job, monkeypatch):
    assert isinstance(choose_loss(loaded(base_model()), RecordingChannel()), CausalLMLoss)
    decoders = []
    real = ValidationAnswers._open

    def keep(self):
        found = real(self)
        decoders.append(found[0])
        return found

    monkeypatch.setattr(ValidationAnswers, "_open", keep)
    run(job(epochs=1, sample_prompts=6, **QLORA), RecordingChannel())
    assert not isinstance(decoders[0], ChunkedDecoder)
    answering = {type(layer).__name__ for layer in decoders[0].loaded.model.modules()}
    assert "Linear4bit" in answering


def test_replay_targets_are_those_of_the_4_bit_base_model(base_model):
    made = loaded(base_model())
    batch = collate([example()], torch.device("cpu"))
    with torch.no_grad(), made.model.disable_adapter():
        logits = made.model(input_ids=batch.input_ids).logits[batch.loss_mask].float()
    found = base_probabilities(choose_loss(made, RecordingChannel()), batch)
    assert torch.allclose(found, logits.softmax(-1), atol=1e-6)


def example():
    return TokenizedExample([5, 9, 20, 31, 7, 12], [False] * 3 + [True] * 3)


def test_gradients_are_the_same_after_an_evaluation(base_model):
    """For inference, bitsandbytes would pack the weights so that no gradient passes them."""
    made = loaded(base_model())
    loss, batch = choose_loss(made, RecordingChannel()), collate([example()], torch.device("cpu"))
    assert any(hasattr(m, "support_avx512bf16_for_cpu") for m in made.model.modules())

    def gradients():
        made.model.zero_grad()
        loss(batch).losses.sum().backward()
        return {n: p.grad.clone() for n, p in made.model.named_parameters() if p.grad is not None}

    before = gradients()
    with torch.no_grad():
        made.model.eval()(input_ids=batch.input_ids)
    made.model.train()
    after = gradients()
    assert before.keys() == after.keys()
    assert any(float(one.abs().max()) > 0 for name, one in before.items() if "layers.0" in name)
    assert all(torch.equal(after[name], one) for name, one in before.items())


def test_stop_and_continue_give_the_same_adapter(job):
    settings = {**QLORA, "dropout": 0.1, "replay_share": 0.125, "epochs": 1}
    run(job(folder="whole", **settings), RecordingChannel())
    work = job(folder="halves", **settings)
    assert run(work, RecordingChannel(stop_after=3))["stopped"]
    assert checkpoints.is_complete(work.folder / "checkpoints" / "step-000003")
    assert run(work, RecordingChannel())["steps"] == 5
    whole, halves = (
        load_file(work.folder.parent / name / "adapter" / "adapter_model.safetensors")
        for name in ("whole", "halves")
    )
    assert whole.keys() == halves.keys()
    assert all(torch.equal(whole[name], halves[name]) for name in whole)


def test_the_adapter_is_a_plain_one_that_the_base_model_as_it_is_can_carry(job, base_model):
    work = job(epochs=3, **QLORA)
    run(work, RecordingChannel())
    folder = work.folder / "adapter"
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base_model())
    assert json.loads((folder / "finetune.json").read_text())["settings"]["tuning"] == "qlora"
    ids = torch.tensor([[5, 9, 20, 31, 7]])
    base = AutoModelForCausalLM.from_pretrained(base_model(), dtype=torch.float32)
    untuned = base(ids).logits
    tuned = PeftModel.from_pretrained(base, folder)(ids).logits
    assert not torch.allclose(tuned, untuned, atol=1e-2)
    with Engine(base_model(), "fp32", may_merge=False) as engine:
        engine.check_adapter(folder)
        asked = [{"role": "user", "content": "red red"}]
        assert engine.generate([GenerationRequest(asked, folder, max_new_tokens=4)])[0].tokens


def loss_in_engine(base, adapter, version, number_format):
    """Mean loss per learned token of the validation rows, computed by the engine."""
    rows = [json.loads(line) for line in version.read_text().splitlines()]
    rows = [row["messages"] for row in rows if row["split"] == "validation"]
    tokenizer = load_tokenizer(base)
    batch = collate([tokenize_example(tokenizer, row, 1024) for row in rows], torch.device("cpu"))
    with Engine(base, number_format, may_merge=False) as engine:
        logits = engine.logits(batch.input_ids, adapter)[batch.loss_mask]
    return float(cross_entropy(logits.float(), batch.labels))


def test_the_engine_has_the_loss_of_the_training_on_the_weights_it_learned_on(
    job, base_model, version
):
    work = job("qwen2", epochs=6, **QLORA)
    result = run(work, RecordingChannel())
    base, adapter = base_model("qwen2"), work.folder / "adapter"
    learned = result["validation_loss"]
    rounded, plain = (loss_in_engine(base, adapter, version, one) for one in ("nf4", "bf16"))
    assert rounded == pytest.approx(learned, rel=0.05)
    assert abs(plain - learned) > 5 * abs(rounded - learned)


def test_without_bitsandbytes_the_error_says_what_to_do(job, monkeypatch):
    monkeypatch.setattr("worker.quantisation.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install '\.\[qlora\]'"):
        run(job(**QLORA), RecordingChannel())


def test_an_unknown_way_of_tuning_is_rejected(job):
    with pytest.raises(UserError, match="tuning"):
        run(job(tuning="prefix"), RecordingChannel())


def test_plain_peft_on_4_bit_weights_computes_the_same(job, base_model, monkeypatch):
    kept, real_export = {}, loop.export

    def keep(folder, adapted, *rest):
        real_export(folder, adapted, *rest)
        kept["model"] = adapted.model.eval()

    monkeypatch.setattr(loop, "export", keep)
    work = job(epochs=2, **QLORA)
    run(work, RecordingChannel())
    config = quantised_loading(torch.bfloat16)
    base = AutoModelForCausalLM.from_pretrained(base_model(), dtype=torch.bfloat16, **config)
    reloaded = PeftModel.from_pretrained(base, work.folder / "adapter").train()
    reloaded.requires_grad_(False)
    ids = torch.tensor([[5, 9, 20, 31, 7]])
    ours = kept["model"](input_ids=ids).logits

    def difference() -> float:
        """Standard deviation, relative to that of the logits: bfloat16 rounds each to 1 in 256."""
        found = reloaded(input_ids=ids).logits.float()
        return float((found - ours.float()).std() / ours.float().std())

    assert difference() < 0.05
    with reloaded.disable_adapter():
        assert difference() > 0.2


@pytest.mark.long
@needs_starter
def test_the_starter_learns_beside_4_bit_weights(tmp_path, version):
    lines = version.read_text().splitlines()
    version.write_text("\n".join([*lines[:8], *lines[40:43]]) + "\n")
    spec = {
        "base_model": str(FOLDER),
        "version": str(version),
        "tuning": "qlora",
        "epochs": 1,
        "batch_size": 4,
        "learning_rate": 2e-3,
        "warmup_ratio": 0.0,
        "schedule": "constant",
        "replay_share": 0,
        "validation_prompts": 0,
        "sample_prompts": 0,
    }
    channel = RecordingChannel()
    run(Job("training", tmp_path / "run", spec), channel)
    losses = validation_losses(channel)
    assert losses[-1] < 0.7 * losses[0]

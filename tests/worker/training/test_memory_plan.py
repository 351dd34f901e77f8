"""The memory plan agrees with what models and the optimizer really hold."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.autograd.graph import saved_tensors_hooks
from transformers import Gemma3TextConfig, LlamaConfig, LlamaForCausalLM, Qwen3Config

from finetune_app.basemodels.memory_plan import (
    LargestBatch,
    ModelShape,
    TrainingSetup,
    memory_plan,
)
from finetune_app.basemodels.shapes import dimensions_of
from worker.training.data import Batch
from worker.training.llama_loss import LlamaLoss
from worker.training.memory_plan import count_saved_tensors, plan, shape_of_folder
from worker.training.optimizer import FlatAdamW

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 300,
    "tie_word_embeddings": True,
}
FAMILIES = {
    "llama": LlamaConfig(**SIZES),
    "qwen3": Qwen3Config(**SIZES),
    "gemma3": Gemma3TextConfig(**(SIZES | {"num_key_value_heads": 1})),
}
BATCH = LargestBatch(rows=8, longest=96, tokens=8 * 96, learned=80)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("number_format", ["bf16", "fp32"])
def test_what_a_layer_saves_is_what_the_arithmetic_says(tmp_path, family, number_format):
    config = FAMILIES[family]
    config.save_pretrained(tmp_path)
    setup = TrainingSetup(number_format, on_card=True)
    known = ModelShape.known(1e6, dimensions_of(config.to_dict()))
    counted = ModelShape.known(
        1e6, {**dimensions_of(config.to_dict()), "saved": count_saved_tensors(tmp_path)}
    )
    assert set(counted.saved) == {"bf16", "fp32"}
    saved = memory_plan(counted, setup, BATCH).activations
    assert memory_plan(known, setup, BATCH).activations == pytest.approx(saved, rel=0.05)


@pytest.mark.parametrize("number_format", ["bf16", "fp32"])
def test_what_our_own_layers_save_is_what_the_arithmetic_says(number_format):
    dtype = torch.bfloat16 if number_format == "bf16" else torch.float32
    shape = ModelShape.known(1e6, dimensions_of(FAMILIES["llama"].to_dict()))
    base = LlamaForCausalLM(FAMILIES["llama"]).to(dtype)
    base.requires_grad_(False)
    lora = LoraConfig(task_type="CAUSAL_LM", r=16, target_modules="all-linear")
    model = get_peft_model(base, lora, autocast_adapter_dtype=False)
    loss = LlamaLoss(model)
    kept = {tensor.untyped_storage().data_ptr() for tensor in model.parameters()}
    total, alive = 0, []

    def save(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal total
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in kept:
            kept.add(storage.data_ptr())
            alive.append(storage)
            total += storage.nbytes()
        return tensor

    with saved_tensors_hooks(save, lambda tensor: tensor):
        loss(random_batch())
    planned = memory_plan(shape, TrainingSetup(number_format), BATCH).activations
    assert planned == pytest.approx(total, rel=0.02)


def random_batch() -> Batch:
    """8 rows of 96 random tokens, of which 10 each are learned."""
    input_ids = torch.randint(0, 300, (BATCH.rows, BATCH.longest))
    input_ids[:, 0] = torch.arange(BATCH.rows)  # they share no prefix
    loss_mask = torch.zeros_like(input_ids, dtype=torch.bool)
    loss_mask[:, 60:70] = True
    labels = input_ids.roll(-1, dims=1)[loss_mask]
    return Batch(input_ids, loss_mask, labels, torch.full((BATCH.rows,), BATCH.longest))


@pytest.mark.parametrize("number_format", ["bf16", "fp32"])
def test_adapter_and_optimizer_are_counted_exactly(number_format):
    dtype = torch.bfloat16 if number_format == "bf16" else torch.float32
    shape = ModelShape.known(1e6, dimensions_of(FAMILIES["llama"].to_dict()))
    base = LlamaForCausalLM(FAMILIES["llama"]).to(dtype)
    base.requires_grad_(False)
    lora = LoraConfig(task_type="CAUSAL_LM", r=8, target_modules="all-linear")
    model = get_peft_model(base, lora, autocast_adapter_dtype=False)
    optimizer = FlatAdamW([p for p in model.parameters() if p.requires_grad], 0.0)
    optimizer.step(1e-3, 1.0)
    held = [optimizer.master, optimizer.working, optimizer.gradient, optimizer._working_gradient]
    held += [t for t in optimizer._adamw.state[optimizer.master].values() if t.numel() > 1]
    bytes_held = sum({tensor.data_ptr(): tensor.nbytes for tensor in held}.values())
    planned = memory_plan(shape, TrainingSetup(number_format, rank=8), BATCH)
    assert planned.adapter + planned.optimizer == bytes_held


def test_an_unknown_family_is_counted(base_model):
    """GPT-NeoX has no gate and learned biases; nothing of it is written down here."""
    folder = base_model("gpt_neox")
    saved = count_saved_tensors(folder)
    assert saved["fp32"]["token"] > saved["bf16"]["token"] > 0
    small = LargestBatch(rows=1, longest=96, tokens=96, learned=10)
    setup = TrainingSetup("bf16")
    assert plan(folder, setup, small).activations < plan(folder, setup, BATCH).activations


def test_a_model_that_cannot_be_counted_has_an_estimate_all_the_same(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "nothing known"}')
    assert count_saved_tensors(tmp_path) == {}


def test_the_shape_of_a_folder_has_all_parameters(base_model):
    folder = base_model("llama")
    shape = shape_of_folder(folder)
    model = LlamaForCausalLM.from_pretrained(folder)
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    linear = sum(m.weight.numel() for m in model.model.modules() if hasattr(m, "in_features"))
    assert shape.linear_parameters == linear

"""CausalLMLoss computes transformers' loss and gradients a few hundred positions at a time, for any
architecture; where a model does something else with its logits, all at once."""

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    Cohere2Config,
    Gemma2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MambaConfig,
    PhiConfig,
    Qwen2Config,
)

from tests.worker.training.base_model_says import probabilities
from worker.template import TokenizedExample
from worker.training import lm_head, losses, packing
from worker.training.data import collate
from worker.training.losses import CausalLMLoss
from worker.training.packing import pack, reads_packed

CPU = torch.device("cpu")
VOCABULARY = 97
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
GROUPED = SIZES | {"num_key_value_heads": 2}
CONFIGS = {
    "llama": LlamaConfig(**GROUPED, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**GROUPED),
    "gpt_neox": GPTNeoXConfig(**SIZES),
    "phi, with a bias": PhiConfig(**SIZES),
    "gemma2, soft-capped": Gemma2Config(**GROUPED, head_dim=8, final_logit_softcapping=3.0),
    "cohere2, scaled": Cohere2Config(**GROUPED, logit_scale=0.25),
    "granite, divided": GraniteConfig(**GROUPED, logits_scaling=8.0),
}
EXAMPLES = [
    TokenizedExample([5, 9, 20, 31, 7, 12, 40], [False] * 3 + [True] * 4),
    TokenizedExample([5, 9, 22, 30], [False, True, False, True]),
    TokenizedExample([8, 60, 61, 62, 63, 64, 65, 66, 67], [False] + [True] * 8),
]


def peft_model(config, **settings):
    torch.manual_seed(1)
    base = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, weight in base.named_parameters():
            if name.endswith("bias"):
                weight.normal_()
    lora = LoraConfig(**{"r": 4, "target_modules": "all-linear"} | settings, task_type="CAUSAL_LM")
    model = get_peft_model(base, lora)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=0.1)
    return model.train()


def batch():
    return collate(EXAMPLES, CPU)


def with_gradients(model, losses):
    """The losses, and the gradient of each parameter when every loss counts differently."""
    model.zero_grad()
    (losses * torch.linspace(-1, 2, len(losses))).sum().backward()
    return losses.detach(), {
        name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None
    }


def by_transformers(model, targets=None):
    one = batch()
    mask = (torch.arange(one.input_ids.shape[1]) < one.lengths[:, None]).long()
    logits = model(input_ids=one.input_ids, attention_mask=mask, use_cache=False).logits
    targets = one.labels if targets is None else targets
    return functional.cross_entropy(logits[one.loss_mask], targets, reduction="none")


def assert_same(found, expected):
    losses, gradients = found
    right, right_gradients = expected
    assert torch.allclose(losses, right, atol=1e-5)
    assert gradients.keys() == right_gradients.keys()
    for name, gradient in right_gradients.items():
        largest = float(gradient.abs().max())
        assert largest > 0, name
        assert float((gradients[name] - gradient).abs().max()) < 1e-4 * largest, name


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(lm_head, "HEAD_CHUNK", 5)  # 14 positions are learned


@pytest.mark.parametrize("kind", CONFIGS)
def test_losses_and_gradients_are_those_of_transformers(kind):
    model = peft_model(CONFIGS[kind])
    loss = CausalLMLoss(model)
    assert loss.in_chunks
    assert_same(
        with_gradients(model, loss(batch()).losses), with_gradients(model, by_transformers(model))
    )


@pytest.mark.parametrize("kind", ["llama", "gemma2, soft-capped"])
def test_targets_may_be_probabilities(kind):
    model = peft_model(CONFIGS[kind])
    loss = CausalLMLoss(model)
    with torch.no_grad():
        targets = probabilities(loss, batch()).roll(1, dims=0)
    assert torch.allclose(targets.sum(dim=-1), torch.ones(len(targets)))
    assert_same(
        with_gradients(model, loss(batch(), targets).losses),
        with_gradients(model, by_transformers(model, targets)),
    )


@pytest.mark.parametrize("how", ["frozen head", "head that learns", "not in chunks"])
def test_a_token_is_right_where_it_is_the_likeliest(how):
    model = peft_model(CONFIGS["llama"])
    model.requires_grad_(how == "head that learns")
    loss = CausalLMLoss(model)
    loss.in_chunks = how != "not in chunks"
    likeliest = probabilities(loss, batch()).argmax(dim=-1)
    wrong = (likeliest + 1) % VOCABULARY
    wanted = [n % 3 == 0 for n in range(len(likeliest))]
    labels = torch.where(torch.tensor(wanted), likeliest, wrong)
    assert loss(replace(batch(), labels=labels)).right.tolist() == wanted
    targets = probabilities(loss, batch())
    assert loss(batch(), targets).right.tolist() == []
    mixed = loss(replace(batch(), labels=labels), targets[-5:])
    assert mixed.right.tolist() == wanted[:-5]
    assert torch.allclose(mixed.losses[-5:], loss(batch(), targets).losses[-5:], atol=1e-5)


def test_a_head_that_learns_gets_its_gradient():
    model = peft_model(CONFIGS["llama"])
    model.requires_grad_(True)  # its weight is the embedding, too
    loss = CausalLMLoss(model)
    assert loss.in_chunks
    assert_same(
        with_gradients(model, loss(batch()).losses), with_gradients(model, by_transformers(model))
    )


def test_an_adapter_of_the_head_gets_its_gradient():
    model = peft_model(CONFIGS["qwen2"], target_modules=["lm_head", "q_proj"])
    loss = CausalLMLoss(model)
    found = with_gradients(model, loss(batch()).losses)
    assert any("lm_head.lora_A" in name for name in found[1])
    assert_same(found, with_gradients(model, by_transformers(model)))


def test_only_one_chunk_of_logits_exists_at_a_time(monkeypatch):
    model = peft_model(CONFIGS["llama"])
    loss, sizes = CausalLMLoss(model), []
    real = lm_head.LMHead.logits

    def recorded(self, states):
        sizes.append(len(states))
        return real(self, states)

    monkeypatch.setattr(lm_head.LMHead, "logits", recorded)
    head = []
    model.get_base_model().lm_head.register_forward_hook(
        lambda module, inputs, output: head.append(output.numel() // VOCABULARY)
    )
    loss(batch()).losses.sum().backward()
    assert sizes == [5, 5, 4]
    assert sorted(head) == [0, 4, 5, 5]


@pytest.mark.parametrize("change", [{"logit_scale": 0.5}, {"final_logit_softcapping": 3.0}])
def test_what_a_chunk_cannot_reproduce_is_computed_by_the_model(change):
    """A Llama whose config promises what its forward pass does not do."""
    config = LlamaConfig(**GROUPED)
    for name, value in change.items():
        setattr(config, name, value)
    model = peft_model(config)
    loss = CausalLMLoss(model)
    assert not loss.in_chunks
    assert_same(
        with_gradients(model, loss(batch()).losses), with_gradients(model, by_transformers(model))
    )


def test_a_batch_is_packed_end_to_end():
    inputs, loss_mask = pack(batch())
    assert inputs["input_ids"].tolist() == [[n for one in EXAMPLES for n in one.input_ids]]
    assert inputs["position_ids"].tolist() == [[*range(7), *range(4), *range(9)]]
    assert inputs["cu_seq_lens_q"].tolist() == inputs["cu_seq_lens_k"].tolist() == [0, 7, 11, 20]
    assert inputs["cu_seq_lens_q"].dtype == torch.int32
    assert inputs["max_length_q"] == inputs["max_length_k"] == 9
    # A position is learned from the one before it, never across a boundary.
    after = inputs["input_ids"].roll(-1)[loss_mask]
    assert after.tolist() == batch().labels.tolist()


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt_neox", "gemma2, soft-capped"])
def test_packed_examples_see_themselves_alone(kind, monkeypatch):
    """With the mask that transformers makes of the position ids, as the reference of a kernel."""
    monkeypatch.setattr(losses, "reads_packed", lambda model: True)
    model = peft_model(CONFIGS[kind])
    loss = CausalLMLoss(model)
    assert loss.packs
    assert_same(
        with_gradients(model, loss(batch()).losses), with_gradients(model, by_transformers(model))
    )


def test_a_model_that_mixes_packed_examples_gets_them_padded(monkeypatch):
    monkeypatch.setattr(losses, "reads_packed", lambda model: True)
    mamba = MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=VOCABULARY, state_size=4)
    assert not CausalLMLoss(peft_model(mamba, target_modules=["in_proj"])).packs


def test_attention_stays_torchs_own_where_flash_attention_cannot_be_used(monkeypatch):
    monkeypatch.setattr(packing, "is_flash_attn_2_available", lambda: True)
    model = peft_model(CONFIGS["llama"]).get_base_model()
    packing.use_flash_attention(model)  # transformers says that the package is missing
    assert model.config._attn_implementation == "sdpa"


def test_a_decoder_gets_attention_that_reads_its_masks(monkeypatch):
    model = peft_model(CONFIGS["llama"]).get_base_model()
    monkeypatch.setattr(
        model,
        "set_attn_implementation",
        lambda name: setattr(model.config, "_attn_implementation_internal", name),
    )
    for usual in (packing.FLASH, "eager"):
        model.set_attn_implementation(usual)
        with packing.masked_attention(model):
            assert model.config._attn_implementation == ("eager" if usual == "eager" else "sdpa")
        assert model.config._attn_implementation == usual


def test_packing_needs_a_kernel_and_no_recurrent_state(monkeypatch):
    model = peft_model(CONFIGS["llama"]).get_base_model()
    assert not reads_packed(model)
    monkeypatch.setattr(model.config, "_attn_implementation_internal", "flash_attention_2")
    assert reads_packed(model)
    monkeypatch.setattr(model, "_is_stateful", True)
    assert not reads_packed(model)

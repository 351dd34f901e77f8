"""LlamaLoss computes the same loss and gradients as CausalLMLoss."""

from dataclasses import replace

import pytest
import torch

from tests.worker.training.base_model_says import base_probabilities, probabilities
from tests.worker.training.recording_channel import RecordingChannel
from worker.llama import rotate
from worker.template import TokenizedExample
from worker.training import few_layers, llama_autograd
from worker.training.data import collate
from worker.training.llama_batch import shared_prefix
from worker.training.llama_loss import LlamaLoss, LoraProjection, is_supported
from worker.training.losses import CausalLMLoss, Loss
from worker.training.model_loader import load
from worker.training.prepare import choose_loss
from worker.training.spec import TrainingSpec

PREFIX = [1, 40, 41, 42, 43]


def example(*rest: int, prefix: list[int] = PREFIX, learned: int = 2) -> TokenizedExample:
    ids = [*prefix, *rest]
    return TokenizedExample(ids, [False] * (len(ids) - learned) + [True] * learned)


BATCHES = {
    "shared prefix": [example(50, 51, 52), example(60, 61, 62, 63, 64), example(70, 71)],
    "longer prefix than rows": [
        example(50, 51, 52, prefix=[1, *range(10, 40)]),
        example(60, 61, 62, 63, prefix=[1, *range(10, 40)]),
    ],
    "nothing shared": [example(7, 8, 9, prefix=[5]), example(7, 8, prefix=[6])],
    "one row": [example(50, 51, 52, 53)],
    "one row inside another": [example(50, 51), example(50, 51, 52, 53)],
    "same rows": [example(50, 51, 52), example(50, 51, 52)],
    "several answers": [
        TokenizedExample([1, 2, 3, 4, 5, 6], [False, True, False, False, True, True])
    ]
    * 2,
}


def loaded(base_model, kind: str, **settings):
    spec = TrainingSpec(base_model=base_model(kind), version=base_model(kind), rank=4, **settings)
    made = load(spec, "fp32")
    torch.manual_seed(3)
    for parameter in made.model.parameters():
        if parameter.requires_grad:  # B starts at zero, which would hide mistakes in A
            parameter.data = torch.randn_like(parameter) * 0.1
    return made


def loss_and_gradients(
    loss: Loss, model, examples, *, as_base: bool = False
) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    batch = collate(examples, torch.device("cpu"))
    value = loss(batch, base_probabilities(loss, batch) if as_base else None).losses.sum()
    value.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return float(value.detach()), gradients


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("as_base", [False, True])
def test_loss_and_every_gradient_are_equal(base_model, kind, batch, as_base):
    made = loaded(base_model, kind)
    assert is_supported(made.model)
    reference, reference_gradients = loss_and_gradients(
        CausalLMLoss(made.model), made.model, BATCHES[batch], as_base=as_base
    )
    loss, gradients = loss_and_gradients(
        LlamaLoss(made.model), made.model, BATCHES[batch], as_base=as_base
    )
    assert loss == pytest.approx(reference, rel=1e-5)
    assert gradients.keys() == reference_gradients.keys()
    assert len(gradients) == 2 * 2 * 7
    for name, gradient in reference_gradients.items():
        # Relative to its largest element: elements near zero are differences of large numbers.
        largest = float(gradient.abs().max())
        assert largest > 0
        assert float((gradients[name] - gradient).abs().max()) < 1e-4 * largest, name


@pytest.mark.parametrize("batch", BATCHES)
def test_the_same_tokens_are_right(base_model, batch):
    made = loaded(base_model, "llama")
    general, fast = CausalLMLoss(made.model), LlamaLoss(made.model)
    given = collate(BATCHES[batch], torch.device("cpu"))
    likeliest = probabilities(general, given).argmax(dim=-1)
    shuffled = torch.where(torch.arange(len(likeliest)) % 2 == 0, likeliest, given.labels)
    changed = replace(given, labels=shuffled)
    right = fast(changed).right
    assert right[::2].all()
    assert right.tolist() == general(changed).right.tolist()


@pytest.mark.parametrize("as_base", [False, True])
def test_the_head_in_small_pieces_gives_the_same(base_model, monkeypatch, as_base):
    made = loaded(base_model, "llama")
    rows = BATCHES["shared prefix"]  # 6 tokens are learned
    loss = LlamaLoss(made.model)
    whole, whole_gradients = loss_and_gradients(loss, made.model, rows, as_base=as_base)
    monkeypatch.setattr(llama_autograd, "HEAD_CHUNK", 5)
    monkeypatch.setattr(llama_autograd, "CACHED_POSITIONS", 2)
    pieces, gradients = loss_and_gradients(loss, made.model, rows, as_base=as_base)
    assert pieces == pytest.approx(whole, rel=1e-6)
    for name, gradient in whole_gradients.items():
        # Products of other sizes add up in another order.
        assert torch.allclose(gradients[name], gradient, rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("batch", ["shared prefix", "longer prefix than rows", "one row"])
def test_recomputed_attention_gives_the_same_gradients(base_model, monkeypatch, batch):
    made = loaded(base_model, "llama")
    loss = LlamaLoss(made.model)
    kept, kept_gradients = loss_and_gradients(loss, made.model, BATCHES[batch])
    monkeypatch.setattr(llama_autograd, "MAX_SAVED_BYTES", 0)
    recomputed, recomputed_gradients = loss_and_gradients(loss, made.model, BATCHES[batch])
    assert recomputed == kept
    for name, gradient in kept_gradients.items():
        assert torch.equal(recomputed_gradients[name], gradient), name


def test_base_probabilities_are_those_without_the_adapter(base_model):
    made = loaded(base_model, "llama")
    batch = collate(BATCHES["several answers"], torch.device("cpu"))
    with torch.no_grad(), made.model.disable_adapter():
        expected = made.model(input_ids=batch.input_ids).logits[batch.loss_mask].softmax(-1)
    for loss in (CausalLMLoss(made.model), LlamaLoss(made.model)):
        before = loss(batch).losses.tolist()
        assert torch.allclose(base_probabilities(loss, batch), expected, atol=1e-6)
        assert loss(batch).losses.tolist() == before  # the adapter is back


def test_the_model_itself_still_works_after_fusing(base_model):
    made = loaded(base_model, "llama")
    ids = torch.tensor([[1, 40, 50, 51]])
    before = made.model(input_ids=ids).logits
    LlamaLoss(made.model)
    assert torch.allclose(made.model(input_ids=ids).logits, before, atol=1e-6)


def test_unsupported_models_use_the_general_loss(base_model):
    assert not is_supported(loaded(base_model, "gpt_neox").model)
    assert not is_supported(loaded(base_model, "llama", dropout=0.1).model)
    assert not is_supported(loaded(base_model, "llama", targets=["q_proj", "v_proj"]).model)


def test_the_shared_prefix_ends_before_learned_tokens():
    def prefix_length(name: str) -> int:
        batch = collate(BATCHES[name], torch.device("cpu"))
        return shared_prefix(batch, batch.own_rows)

    assert prefix_length("shared prefix") == 4
    assert prefix_length("longer prefix than rows") == 31
    assert prefix_length("nothing shared") == 0
    assert prefix_length("one row") == 0
    assert prefix_length("one row inside another") == 4
    assert prefix_length("same rows") == 5
    assert prefix_length("several answers") == 0


def values_and_gradients(model):
    return [
        (p.detach().clone(), None if p.grad is None else p.grad.clone()) for p in model.parameters()
    ]


@pytest.mark.parametrize("most_layers", [1, 3])  # of two
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_the_fast_loss_is_chosen_where_a_probe_agrees(base_model, kind, most_layers, monkeypatch):
    spec = TrainingSpec(base_model=base_model(kind), version=base_model(kind), rank=4)
    monkeypatch.setattr(few_layers, "MOST_LAYERS", most_layers)
    made, channel = load(spec, "fp32"), RecordingChannel()
    before = values_and_gradients(made.model)
    state = torch.get_rng_state()
    loss = choose_loss(made, channel)
    assert isinstance(loss, LlamaLoss)
    assert not channel.events
    assert len(loss.layers) == len(made.model.get_base_model().model.layers) == 2
    # The probe leaves no trace.
    assert torch.equal(torch.get_rng_state(), state)
    for (value, gradient), (now, gradient_now) in zip(
        before, values_and_gradients(made.model), strict=True
    ):
        assert torch.equal(value, now)
        assert gradient is gradient_now is None


@pytest.mark.parametrize("number_format", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("changed", "factor"), [("scale", 2.0), ("attention", 0.8), ("position", 0.0)]
)
def test_a_fast_loss_that_computes_something_else_is_not_taken(
    base_model, monkeypatch, number_format, changed, factor
):
    """For instance because a later transformers changed a model that we compute ourselves."""
    if changed == "scale":
        real = LoraProjection.fuse

        def fuse(*layers):
            found = real(*layers)
            found.scale *= factor
            return found

        monkeypatch.setattr(LoraProjection, "fuse", fuse)
    elif changed == "attention":
        monkeypatch.setattr(
            llama_autograd, "rotate", lambda x, cos, sin: rotate(x, cos, sin) * factor
        )
    else:
        monkeypatch.setattr(
            llama_autograd, "rotate", lambda x, cos, sin: rotate(x, cos * 0 + 1, sin * factor)
        )
    spec = TrainingSpec(base_model=base_model("llama"), version=base_model("llama"), rank=4)
    channel = RecordingChannel()
    assert isinstance(choose_loss(load(spec, number_format), channel), CausalLMLoss)
    assert "transformers" in channel.of("log")[0]["text"]


def test_the_probe_agrees_in_bf16(base_model):
    spec = TrainingSpec(base_model=base_model("llama"), version=base_model("llama"), rank=4)
    made = load(spec, "bf16")
    assert isinstance(choose_loss(made, RecordingChannel()), LlamaLoss)

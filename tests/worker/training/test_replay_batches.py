"""Replay examples in the forward pass of the others: the same gradient, from one reading."""

import pytest
import torch

from tests.worker.training.base_model_says import base_probabilities
from tests.worker.training.test_llama_loss import BATCHES, example, loaded
from worker.training import llama_autograd
from worker.training.data import collate
from worker.training.data_parallel import Ranks
from worker.training.dpo import DpoObjective
from worker.training.llama_loss import LlamaLoss
from worker.training.losses import CausalLMLoss
from worker.training.objectives import AnswerObjective, Update
from worker.training.optimizer import FlatAdamW
from worker.training.pairs import PreferencePair
from worker.training.replay.answers import ReplayExample
from worker.training.replay.targets import BLOCK, ReplayTargets, states_file

CPU = torch.device("cpu")


def replay(*rows) -> list[ReplayExample]:
    return [
        ReplayExample(one.input_ids, one.loss_mask, number=number)
        for number, one in enumerate(rows)
    ]


REPLAY = {
    "that begins as the others": replay(example(80, 81, 82), example(90, 91, 92, 93, learned=3)),
    "that begins otherwise": replay(
        example(80, 81, prefix=[7]), example(*range(90, 110), prefix=[8, 9], learned=9)
    ),
    "of which one begins otherwise": replay(example(80, 81, 82), example(90, 91, 92, prefix=[7])),
    "that ends within their beginning": replay(example(41, 42, prefix=[1, 40])),
}
LOSSES = {"llama": LlamaLoss, "general": CausalLMLoss}


def update_of(loss, examples, replayed, weight=0.25) -> Update:
    targets = ReplayTargets(loss, replayed, CPU)
    return Update(AnswerObjective(loss, targets), examples, replayed, weight)


def gradient_of(update: Update, optimizer: FlatAdamW, budget: int = 10_000) -> torch.Tensor:
    optimizer.zero_gradients()
    update.backward(optimizer, budget, Ranks())
    return optimizer.gradient.clone()


def by_itself(model, loss, examples, targets=None) -> torch.Tensor:
    """Gradient of their mean loss, computed by transformers."""
    model.zero_grad()
    batch = collate(examples, CPU)
    loss(batch, targets).losses.mean().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


@pytest.mark.parametrize("how", LOSSES)
@pytest.mark.parametrize(
    "own", ["shared prefix", "longer prefix than rows", "nothing shared", "one row", "same rows"]
)
@pytest.mark.parametrize("beside", REPLAY)
def test_the_gradient_is_that_of_two_readings(base_model, how, own, beside):
    made = loaded(base_model, "llama")
    general = CausalLMLoss(made.model)
    base = base_probabilities(general, collate(REPLAY[beside], CPU))
    expected = 0.75 * by_itself(made.model, general, BATCHES[own])
    expected += 0.25 * by_itself(made.model, general, REPLAY[beside], base)
    trainable = [p for p in made.model.parameters() if p.requires_grad]
    optimizer = FlatAdamW(trainable, 0.0)
    update = update_of(LOSSES[how](made.model), BATCHES[own], REPLAY[beside])
    found = gradient_of(update, optimizer)
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max())


@pytest.mark.parametrize("how", LOSSES)
@pytest.mark.parametrize("beside", REPLAY)
def test_the_gradient_beside_preference_pairs_is_that_of_two_readings(base_model, how, beside):
    made = loaded(base_model, "llama")
    general = CausalLMLoss(made.model)
    pairs = [
        PreferencePair(1, example(50, 51, 52), example(50, 60, 61)),
        PreferencePair(2, example(70, 71), example(70, 72, 73)),
    ]

    def objective(loss, targets=None):
        return DpoObjective(loss, 0.1, {1: 0.2, 2: -0.1}, targets)

    base = base_probabilities(general, collate(REPLAY[beside], CPU))
    everyday = by_itself(made.model, general, REPLAY[beside], base)
    optimizer = FlatAdamW([p for p in made.model.parameters() if p.requires_grad], 0.0)
    expected = 0.25 * everyday + 0.75 * gradient_of(Update(objective(general), pairs), optimizer)
    loss = LOSSES[how](made.model)
    targets = ReplayTargets(loss, REPLAY[beside], CPU)
    found = gradient_of(Update(objective(loss, targets), pairs, REPLAY[beside], 0.25), optimizer)
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max())


def test_recomputed_attention_hides_the_beginning_too(base_model, monkeypatch):
    made = loaded(base_model, "llama")
    optimizer = FlatAdamW([p for p in made.model.parameters() if p.requires_grad], 0.0)
    own, beside = BATCHES["shared prefix"], REPLAY["that begins otherwise"]
    update = update_of(LlamaLoss(made.model), own, beside)
    kept = gradient_of(update, optimizer)
    monkeypatch.setattr(llama_autograd, "MAX_SAVED_BYTES", 0)
    assert torch.equal(gradient_of(update, optimizer), kept)


@pytest.mark.parametrize("how", LOSSES)
def test_parts_and_their_order_do_not_change_it(base_model, how):
    made = loaded(base_model, "llama")
    optimizer = FlatAdamW([p for p in made.model.parameters() if p.requires_grad], 0.0)
    own, beside = BATCHES["shared prefix"], REPLAY["that begins otherwise"]
    update = update_of(LOSSES[how](made.model), own, beside)
    whole = gradient_of(update, optimizer)
    for budget in (1, 20, 50):
        found = gradient_of(update, optimizer, budget)
        assert float((found - whole).abs().max()) < 1e-4 * float(whole.abs().max())


def test_only_a_loss_that_pads_reads_them_apart(base_model):
    made = loaded(base_model, "llama")
    own, beside = BATCHES["shared prefix"], REPLAY["that begins as the others"]
    flat = update_of(LlamaLoss(made.model), own, beside).parts(10_000, Ranks())
    assert [(len(rows), len(everyday)) for rows, everyday in flat] == [(3, 2)]
    padded = update_of(CausalLMLoss(made.model), own, beside).parts(10_000, Ranks())
    assert [(len(rows), len(everyday)) for rows, everyday in padded] == [(3, 0), (0, 2)]


def test_loss_tokens_and_accuracy_are_those_of_the_examples(base_model):
    made = loaded(base_model, "llama")
    optimizer = FlatAdamW([p for p in made.model.parameters() if p.requires_grad], 0.0)
    loss, own = LlamaLoss(made.model), BATCHES["shared prefix"]
    alone = Update(AnswerObjective(loss), own).backward(optimizer, 10_000, Ranks())
    update = update_of(loss, own, REPLAY["that begins otherwise"])
    assert update.backward(optimizer, 10_000, Ranks()) == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("how", LOSSES)
def test_the_base_model_reads_each_example_once(base_model, how, monkeypatch):
    made = loaded(base_model, "llama")
    rows = replay(*[example(30 + n, 50 + n, 60) for n in range(2 * BLOCK + 3)])
    loss = LOSSES[how](made.model)
    read, states = [], loss.states

    def counted(batch):
        read.append(len(batch.input_ids))
        return states(batch)

    monkeypatch.setattr(loss, "states", counted)
    targets = ReplayTargets(loss, rows, CPU)
    first = targets([rows[18], rows[0], rows[17]])
    assert read == [3, BLOCK]
    assert torch.equal(targets([rows[18], rows[0], rows[17]]), first)
    assert read == [3, BLOCK]
    batch = collate([rows[18], rows[0], rows[17]], CPU)
    assert torch.allclose(first, base_probabilities(loss, batch), atol=1e-6)


def test_a_model_with_a_head_of_its_own_kind_gives_the_same(base_model):
    made = loaded(base_model, "gpt_neox")
    loss = CausalLMLoss(made.model)
    batch = collate(BATCHES["nothing shared"], CPU)
    expected = base_probabilities(loss, batch)
    loss.in_chunks = False
    assert torch.allclose(base_probabilities(loss, batch), expected, atol=1e-6)


def test_states_are_kept_for_the_next_training(base_model, tmp_path):
    made = loaded(base_model, "llama")
    loss, file = LlamaLoss(made.model), tmp_path / "kept" / "states.safetensors"
    rows = replay(*[example(30 + n, 50 + n, 60) for n in range(BLOCK + 1)])
    first = ReplayTargets(loss, rows, CPU, file)
    first(rows[:1])
    assert not file.exists()  # before all are there
    wanted = first(rows)
    assert file.exists()

    def read_again(batch):
        raise AssertionError("they were kept")

    kept = LlamaLoss(made.model)
    kept.states = read_again
    assert torch.equal(ReplayTargets(kept, rows, CPU, file)(rows), wanted)
    file.write_bytes(b"damaged")
    assert torch.equal(ReplayTargets(loss, rows, CPU, file)(rows), wanted)


def test_a_full_disk_does_not_end_a_training(base_model, tmp_path, caplog):
    made = loaded(base_model, "llama")
    rows = replay(example(30, 50, 60))
    (tmp_path / "file").write_text("where a folder should be")
    targets = ReplayTargets(LlamaLoss(made.model), rows, CPU, tmp_path / "file" / "states")
    assert len(targets(rows)) == 2
    assert "are not kept" in caplog.text


def test_other_examples_formats_and_models_have_states_of_their_own(base_model):
    rows = replay(example(30, 50, 60))
    files = {
        states_file(base_model("llama"), rows, "bf16", "lora"),
        states_file(base_model("llama"), rows, "fp32", "lora"),
        states_file(base_model("llama"), rows, "bf16", "qlora"),
        states_file(base_model("llama"), rows, "fp32", "qlora"),
        states_file(base_model("llama"), replay(example(31, 50, 60)), "bf16", "lora"),
        states_file(base_model("qwen2"), rows, "bf16", "lora"),
    }
    assert len(files) == 6
    same = states_file(base_model("llama"), rows, "bf16", "full")
    assert same in files

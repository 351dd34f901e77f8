"""Batches, optimizer, schedules and settings of a training."""

import pytest
import torch

from worker.channel import UserError
from worker.template import TokenizedExample
from worker.training.data import (
    Batches,
    DatasetRow,
    collate,
    epoch_batches,
    sample_rows,
    steps_per_epoch,
)
from worker.training.data_parallel import Ranks
from worker.training.lm_head import TokenLosses
from worker.training.micro_batches import micro_batches, parts_of, shared_tokens
from worker.training.objectives import AnswerObjective, Update
from worker.training.optimizer import FlatAdamW, learning_rate_at
from worker.training.pairs import PreferencePair
from worker.training.replay.answers import ReplayExample
from worker.training.spec import TrainingSpec
from worker.training.steps import training_step


def test_an_epoch_has_every_row_once_in_an_order_given_by_the_seed():
    lengths = [10 + (i * 37) % 90 for i in range(300)]
    first = epoch_batches(lengths, 8, seed=1, epoch=0)
    assert sorted(row for batch in first for row in batch) == list(range(300))
    assert first == epoch_batches(lengths, 8, seed=1, epoch=0)
    assert first != epoch_batches(lengths, 8, seed=1, epoch=1)
    assert first != epoch_batches(lengths, 8, seed=2, epoch=0)


def test_examples_of_a_batch_have_similar_lengths():
    lengths = [10 + (i * 37) % 90 for i in range(300)]
    padded = sum(
        max(lengths[r] for r in batch) * len(batch)
        for batch in epoch_batches(lengths, 8, seed=1, epoch=0)
    )
    assert padded < 1.12 * sum(lengths)


def test_batches_can_be_computed_for_any_step():
    examples = [TokenizedExample([0] * (10 + i % 9), [True] * (10 + i % 9)) for i in range(50)]
    lengths = [len(example.input_ids) for example in examples]
    epochs = [epoch_batches(lengths, 8, seed=1, epoch=epoch) for epoch in range(3)]
    in_order = [batch for batches in epochs for batch in batches]
    batches = Batches(examples, 8, seed=1)
    assert [batches.at(step) for step in range(21)] == in_order
    assert Batches(examples, 8, seed=1).at(17) == in_order[17]  # as after a restart


def test_validation_rows_are_sampled_from_the_whole_file():
    rows = [
        DatasetRow(n, "validation", [{"role": "assistant", "content": "abcd"[n // 100]}])
        for n in range(400)
    ]
    picked = sample_rows(rows, 64, seed=17)
    assert len({row.number for row in picked}) == 64
    assert {row.wanted for row in picked} == set("abcd")
    assert sample_rows(rows, 64, seed=17) == picked
    assert len(sample_rows(rows[:5], 64, seed=17)) == 5


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 127, 128, 129, 300])
def test_steps_are_counted_without_making_batches(rows):
    assert steps_per_epoch(rows, 8) == len(epoch_batches([5] * rows, 8, seed=0, epoch=0))


def test_each_position_learns_the_next_token():
    short = TokenizedExample([5, 6, 7], [False, False, True])
    long = TokenizedExample([1, 2, 3, 4], [False, True, False, True])
    batch = collate([short, long], torch.device("cpu"))
    assert batch.input_ids.tolist() == [[5, 6, 7, 0], [1, 2, 3, 4]]
    assert batch.loss_mask.tolist() == [[False, True, False, False], [True, False, True, False]]
    assert batch.labels.tolist() == [7, 2, 4]
    assert batch.tokens == 7


def test_micro_batches_stay_within_the_token_budget():
    examples = [TokenizedExample([0] * n, [True] * n) for n in (3, 50, 8, 20, 20, 9)]
    parts = micro_batches([one.padded_tokens for one in examples], token_budget=40)
    assert sorted(row for part in parts for row in part) == list(range(6))
    assert all(
        len(part) * max(len(examples[r].input_ids) for r in part) <= 40
        for part in parts
        if len(part) > 1
    )


def test_instructions_that_all_rows_share_count_less():
    """Four rows of 100 tokens, 90 of them the same."""
    rows = [TokenizedExample([7] * 90 + [n] * 10, [False] * 95 + [True] * 5) for n in range(4)]
    everyday = ReplayExample(list(range(20)), [False] * 10 + [True] * 10)
    shared = shared_tokens([*rows, everyday])
    assert shared == 90
    assert [len(part) for part in parts_of(rows, 100)] == [1, 1, 1, 1]
    assert [len(part) for part in parts_of(rows, 100, shared)] == [4]
    assert [len(part) for part in parts_of([*rows, everyday], 125, shared)] == [5]


def test_with_what_they_share_rows_keep_to_a_few_times_the_budget():
    """The keys and values of what they share are kept for each row."""
    rows = [TokenizedExample([7] * 90 + [n] * 10, [False] * 95 + [True] * 5) for n in range(4)]
    assert [len(part) for part in parts_of(rows, 60, 90)] == [2, 2]
    assert [len(part) for part in parts_of(rows, 10, 90)] == [1, 1, 1, 1]
    long = [TokenizedExample([7] * 2000 + [n] * 10, [False] * 2005 + [True] * 5) for n in range(4)]
    assert [len(part) for part in parts_of(long, 2048, 2000)] == [2, 2]


def test_pairs_share_what_both_their_conversations_begin_with():
    first, second = (
        TokenizedExample([7] * 90 + [n] * 10, [False] * 95 + [True] * 5) for n in range(2)
    )
    pairs = [PreferencePair(n, first, second) for n in range(3)]
    assert shared_tokens(pairs) == shared_tokens(pairs[:1]) == 90
    assert [len(part) for part in parts_of(pairs, 150)] == [1, 1, 1]
    assert [len(part) for part in parts_of(pairs, 150, 90)] == [3]


def test_what_is_shared_ends_before_anything_is_learned():
    same = [TokenizedExample([7] * 10, [False] * 6 + [True] * 4) for _ in range(2)]
    assert shared_tokens(same) == 5
    assert shared_tokens(same[:1]) == 0


def test_the_flat_optimizer_equals_plain_adamw():
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(4, 3)), torch.nn.Parameter(torch.randn(5))]
    plain = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    flat = FlatAdamW(ours, weight_decay=0.1)
    reference = torch.optim.AdamW(plain, lr=0.01, weight_decay=0.1)
    for _ in range(5):
        for parameters in (ours, plain):
            (sum((p**3).sum() for p in parameters)).backward()
        flat.accumulate_gradients()
        flat.step(0.01, max_norm=1.0)
        torch.nn.utils.clip_grad_norm_(plain, 1.0)
        reference.step()
        reference.zero_grad()
    for one, other in zip(ours, plain, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_non_finite_gradient_changes_no_weight(bad):
    weight = torch.nn.Parameter(torch.ones(3))
    flat = FlatAdamW([weight], weight_decay=0.1)

    def loss(batch, wanted=None):
        """A finite loss with a gradient that is not."""
        broken = weight.sum().reshape(1)
        broken.register_hook(lambda gradient: gradient * bad)
        return TokenLosses(broken, None)

    loss.pads = loss.shares = False
    example = TokenizedExample([1, 2], [False, True])
    with pytest.raises(UserError, match="lower learning rate"):
        training_step(
            flat,
            Update(AnswerObjective(loss), [example]),
            ranks=Ranks(),
            token_budget=100,
            learning_rate=0.1,
            max_norm=1.0,
        )
    assert torch.equal(weight.detach(), torch.ones(3))
    assert int(flat.tensors()["updates"]) == 0


def test_master_weights_keep_updates_that_bf16_cannot_hold():
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    flat = FlatAdamW([weight], weight_decay=0.0)
    for _ in range(100):
        weight.grad.fill_(1.0)
        flat.accumulate_gradients()
        flat.step(1e-4, max_norm=10.0)
    assert float(weight) == pytest.approx(0.99, abs=0.004)  # one bf16 step alone is 0.004


def test_the_learning_rate_warms_up_and_decays():
    rates = [learning_rate_at(s, 100, 1.0, 0.1, "cosine") for s in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001
    assert learning_rate_at(99, 100, 1.0, 0.1, "constant") == 1.0
    assert learning_rate_at(55, 100, 1.0, 0.1, "linear") == pytest.approx(0.5)


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"batch_size": True},
        {"learning_rate": 0},
        {"dropout": 1.0},
        {"schedule": "magic"},
        {"number_format": "int8"},
        {"speed": 3},
    ],
)
def test_invalid_settings_are_named(setting):
    with pytest.raises(UserError) as raised:
        TrainingSpec.from_json({"base_model": "/m", "version": "/v", **setting})
    assert next(iter(setting)) in raised.value.message

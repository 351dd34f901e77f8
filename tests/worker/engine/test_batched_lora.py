"""Every sequence of a batch gets its own adapter, however the batch is put together."""

import pytest
import torch

from worker.engine.adapters import BASE, Lora
from worker.engine.batched_lora import LONG_RUN, BatchedLora
from worker.engine.packed_linear import PackedLinear

IN = 5
PARTS = [("q", 4), ("k", 2)]


class RandomAdapters:
    """b has a higher rank, c leaves the second layer as it is, and e changes nothing."""

    dtype, device = torch.float64, torch.device("cpu")

    def __init__(self) -> None:
        torch.manual_seed(0)
        ranks = {"a": 2, "b": 3, "c": 2, "d": 1}
        self.pairs = {
            (name, layer): Lora(
                torch.randn(rank, IN, dtype=self.dtype),
                torch.randn(columns, rank, dtype=self.dtype),
            )
            for name, rank in ranks.items()
            for layer, columns in PARTS
            if (name, layer) != ("c", "k")
        }

    def identity(self, name: str) -> tuple[str, None]:
        return name, None

    def lora(self, name: str, layer: str) -> Lora | None:
        return self.pairs.get((name, layer))


def expected(adapters: RandomAdapters, linear: PackedLinear, names, x):
    rows = []
    for name, row in zip(names, x, strict=True):
        out = linear(row)
        start = 0
        for layer, columns in PARTS:
            if pair := adapters.lora(name, layer):
                out[:, start : start + columns] += row @ pair.down.t() @ pair.up.t()
            start += columns
        rows.append(out)
    return torch.stack(rows)


BATCHES = {
    "one adapter": ["a"] * 3,
    "one sequence": ["b"],
    "all mixed": ["a", "b", BASE, "c", "a", "d", "a"],
    "a prompt beside others": ["a", BASE, "b", *["a"] * LONG_RUN, "c"],
    "prompts of several": [*["a"] * LONG_RUN, *[BASE] * LONG_RUN, *["c"] * LONG_RUN],
    "an adapter beside the base model": [BASE, "c", BASE],
    "one that changes nothing": ["e", "e"],
    "one that changes nothing beside others": ["e", "a", "e", "d"],
}


@pytest.mark.parametrize("tokens", [1, 3])
@pytest.mark.parametrize("names", BATCHES.values(), ids=BATCHES.keys())
def test_each_sequence_gets_its_own_adapter(names, tokens):
    adapters = RandomAdapters()
    lora = BatchedLora(adapters, [PARTS])
    linear = PackedLinear(torch.randn(6, IN, dtype=torch.float64), None, pack=False)
    x = torch.randn(len(names), tokens, IN, dtype=torch.float64)
    wanted = expected(adapters, linear, names, x)
    torch.testing.assert_close(lora.plan(names).apply(0, linear, x), wanted)
    rows = [len(names) - 1, 0]
    torch.testing.assert_close(lora.plan(names).apply(0, linear, x[rows], rows), wanted[rows])


def test_a_plan_for_one_adapter_serves_any_number_of_sequences():
    """So a merge keeps the plan with which it began."""
    adapters = RandomAdapters()
    linear = PackedLinear(torch.randn(6, IN, dtype=torch.float64), None, pack=False)
    plan = BatchedLora(adapters, [PARTS]).plan(["b"])
    x = torch.randn(4, 1, IN, dtype=torch.float64)
    wanted = expected(adapters, linear, ["b"] * 4, x)
    torch.testing.assert_close(plan.apply(0, linear, x), wanted)


def test_no_set_of_a_batch_makes_room_for_another_one_of_it(monkeypatch):
    """Else a batch of many adapters of different ranks would stack them again at every change."""
    monkeypatch.setattr("worker.engine.batched_lora.MAX_STACKED_ADAPTERS", 1)
    lora, stacked = BatchedLora(RandomAdapters(), [PARTS]), []
    build = lora._build
    monkeypatch.setattr(lora, "_build", lambda some: stacked.append(list(some)) or build(some))
    for names in (["a", "b"], ["b", "a"], ["a", "a", "b"]):
        lora.plan(names)
    assert stacked == [["a"], ["b"]]


def test_the_base_model_alone_needs_no_plan():
    assert BatchedLora(RandomAdapters(), [PARTS]).plan([BASE, BASE]) is None

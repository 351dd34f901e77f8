"""Every token gets its own adapter, however a step is put together; stacks are used again."""

from zlib import crc32

import numpy as np
import pytest
import torch

from worker.engine.adapters import BASE, Lora
from worker.engine.openvino.adapters import MAX_STACKED, AdapterInputs
from worker.engine.packed_linear import FusedLinear

IN = 5
LINEAR = FusedLinear(torch.zeros(6, IN), None, [("q", 4), ("k", 2)])
RANKS = {"a": 2, "b": 3, "c": 1}


class RandomAdapters:
    """Those in `RANKS`, of which c changes only k, and any number of others of rank 1."""

    def __init__(self) -> None:
        self.stamps: dict[str, int] = {}
        self.read: list[str] = []

    def identity(self, name: str) -> tuple[str, tuple[int, int] | None]:
        return name, (self.stamps.get(name, 0), 0)

    def lora(self, name: str, layer: str) -> Lora | None:
        self.read.append(name)
        if (name, layer) == ("c", "q"):
            return None
        made = torch.Generator().manual_seed(crc32(f"{name} {layer}".encode()))
        rank = RANKS.get(name, 1)
        columns = dict(LINEAR.parts)[layer]
        return Lora(
            torch.randn(rank, IN, generator=made), torch.randn(columns, rank, generator=made)
        )


@pytest.fixture
def adapters():
    return RandomAdapters()


@pytest.fixture
def inputs(adapters):
    return AdapterInputs(adapters, [LINEAR], torch.float32)


def added(stack, names, x):
    """What the graph adds: places outside give zeros, as OpenVINO's Gather does."""
    sorting = stack.sort("token", names)
    in_place, places = sorting["token_in_place"], sorting["token_places"]
    lines = np.where((in_place < len(x))[..., None], x[np.minimum(in_place, len(x) - 1)], 0)
    low_rank = lines @ stack.down[0].numpy().transpose(0, 2, 1)
    flat = (low_rank @ stack.up[0].numpy()).reshape(-1, 6)
    return np.where((places < len(flat))[:, None], flat[np.minimum(places, len(flat) - 1)], 0)


STEPS = {
    "the base model": [BASE, BASE],
    "one adapter": ["a", "a", "a"],
    "one beside the base model": [BASE, "b", BASE],
    "mixed, of other ranks": ["b", "a", BASE, "c", "a"],
    "a prompt beside others": ["c", *["b"] * 6, "a"],
}


@pytest.mark.parametrize("names", STEPS.values(), ids=STEPS)
def test_every_token_gets_its_own(adapters, inputs, names):
    x = np.random.default_rng(0).standard_normal((len(names), IN)).astype(np.float32)
    expected = np.zeros((len(names), 6), np.float32)
    for row, name in enumerate(names):
        for layer, columns in (("q", slice(0, 4)), ("k", slice(4, 6))):
            if name != BASE and (pair := adapters.lora(name, layer)):
                expected[row, columns] = x[row] @ pair.down.numpy().T @ pair.up.numpy().T
    assert np.allclose(added(inputs.of_step(names), names, x), expected, atol=1e-5)


def test_a_stack_is_used_again_when_an_adapter_is_done(inputs):
    stack = inputs.of_step(["a", "b", "c"])
    assert inputs.of_step(["a", "c"]) is stack
    assert inputs.of_step(["b", "a", BASE]) is stack


def test_an_adapter_alone_pays_for_no_other(inputs):
    inputs.of_step(["a", "b"])
    assert inputs.of_step(["a"]).names == ["a"]


def test_those_of_the_last_step_stay_in_the_next_stack(inputs):
    inputs.of_step(["a", "b"])
    stack = inputs.of_step(["b", "c"])
    assert stack.names == ["a", "b", "c"]
    assert inputs.of_step(["a", "c"]) is stack


def test_a_file_that_has_changed_is_stacked_again(adapters, inputs):
    old = inputs.of_step(["a", "b"])
    adapters.stamps["a"] = 1
    new = inputs.of_step(["a", "b"])
    assert new is not old
    assert new.names == ["a", "b"]


def test_stacks_that_nobody_uses_are_dropped(adapters, inputs):
    first = inputs.of_step(["a"])
    for number in range(MAX_STACKED):
        inputs.of_step([f"other {number}"])
    adapters.read.clear()
    assert inputs.of_step(["a"]) is not first
    assert "a" in adapters.read

"""Measuring the machine without importing torch."""

import os
import sys

import pytest

from finetune_app.core import machine
from finetune_app.core.machine import GraphicsCard, Machine
from finetune_app.core.sizes import MEMORY_GB as GB


def test_this_machine_has_something(tmp_path):
    here = machine.this_machine(tmp_path)
    assert here.cores >= 1
    assert 0 < here.free_bytes <= here.memory_bytes
    assert here.disk_free_bytes > 0


def test_its_words():
    assert Machine(2, 24 * GB, GB, GB, None).words == ("2 cores, 24 GB of memory, no graphics card")
    assert Machine(1, GB, GB, GB, GraphicsCard("H100", 80 * GB, 80 * GB)).words.endswith("H100")


def test_a_device_is_what_computes():
    assert Machine(2, GB, GB, GB, None, "AMD EPYC").device == "AMD EPYC, 2 cores"
    assert Machine(2, GB, GB, GB, GraphicsCard("L4", GB, GB), "AMD EPYC").device == "L4"


def test_a_report_of_a_machine_is_read_back():
    for card in (None, GraphicsCard("L4", 24 * GB, GB)):
        here = Machine(2, GB, GB, GB, card, "AMD EPYC")
        assert Machine.from_json(here.as_json()) == here


def test_a_graphics_card_is_where_a_training_has_to_fit():
    with_card = Machine(8, 64 * GB, 32 * GB, GB, GraphicsCard("L4", 24 * GB, 20 * GB))
    assert (with_card.available_bytes, with_card.total_bytes) == (20 * GB, 24 * GB)
    without = Machine(8, 64 * GB, 32 * GB, GB, None)
    assert (without.available_bytes, without.total_bytes) == (32 * GB, 64 * GB)


@pytest.fixture
def limits(tmp_path):
    def write(**files: str):
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_text(text)
        return machine.container_memory(tmp_path)

    return write


def test_a_container_knows_its_limit(limits):
    assert limits(
        memory__max=f"{4 * GB}\n",
        memory__current=str(3 * GB),
        memory__stat=f"anon 1\ninactive_file {GB}\n",
    ) == (4 * GB, 2 * GB)


def test_without_a_limit_the_whole_machine_counts(limits):
    assert limits(memory__max="max\n") == (0, 0)
    assert limits(memory__max=str(1 << 62)) == (0, 0)


def test_odd_files_are_no_limit(limits):
    assert limits(memory__max="lots") == (0, 0)


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({"cpu.max": "max 100000\n"}, 1),
        ({"cpu.max": "100000 100000\n"}, 1 / 4),
        ({"cpu.max": "150000 100000\n"}, 2 / 4),
        ({"cpu.max": "900000 100000\n"}, 1),
        ({"cpu.max": "some\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1 / 4),
        ({}, 1),
    ],
)
def test_a_container_uses_no_more_cores_than_its_quota(tmp_path, monkeypatch, files, share):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine.usable_cores(tmp_path) == 4 * share


def test_a_training_has_as_many_threads_as_the_cores_it_is_bound_to(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert machine.training_environment()["OMP_NUM_THREADS"] == "1"


H100 = "NVIDIA H100 80GB HBM3, 81559, 40779, GPU-aaaa"
L4 = "NVIDIA L4, 23034, 22000, GPU-bbbb"


@pytest.fixture
def says(tmp_path, monkeypatch):
    """A stand-in for the card's own tool, which says these lines."""

    def use(text: str) -> None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!{sys.executable}\nprint({text!r})\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        machine._ask_for_cards.cache_clear()

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield use
    machine._ask_for_cards.cache_clear()


@pytest.mark.parametrize(
    ("said", "card"),
    [
        (
            H100,
            GraphicsCard("NVIDIA H100 80GB HBM3", 81559 * 1024**2, 40779 * 1024**2, "GPU-aaaa"),
        ),
        ("No devices were found", None),
        ("", None),
    ],
)
def test_a_card_is_what_its_own_tool_says(says, said, card):
    says(said)
    assert machine.find_graphics_card() == card


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["NVIDIA H100 80GB HBM3", "NVIDIA L4"]),
        ("1", ["NVIDIA L4"]),
        ("GPU-bbbb", ["NVIDIA L4"]),
        ("GPU-b", ["NVIDIA L4"]),
        ("1,0", ["NVIDIA L4", "NVIDIA H100 80GB HBM3"]),
        ("0,7,1", ["NVIDIA H100 80GB HBM3"]),
        ("", []),
        ("-1", []),
        ("MIG-1234", ["NVIDIA H100 80GB HBM3"]),
    ],
)
def test_only_the_cards_that_cuda_may_use_count(says, monkeypatch, visible, names):
    """As CUDA reads it: an unknown one hides all after it."""
    says(f"{H100}\n{L4}")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [card.name for card in machine.graphics_cards()] == names


def test_a_card_that_does_not_say_its_memory_keeps_its_number(says, monkeypatch):
    says(f"GRID, [N/A], [N/A], GPU-cccc\n{L4}")
    assert [card.name for card in machine.graphics_cards()] == ["NVIDIA L4"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert machine.graphics_cards() == []

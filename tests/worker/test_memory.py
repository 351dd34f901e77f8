"""Pages of a mapped file are given back once nothing reads them any more."""

import errno
import os
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from worker.llama import fuse_linears
from worker.memory import MAPPINGS, MappedFiles, in_file

MEGABYTE = 2**20
pytestmark = pytest.mark.skipif(not MAPPINGS.exists(), reason="needs Linux's /proc")


def file_bytes() -> int:
    """Resident bytes of this process that belong to files, on a disk or in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kinds = "RssFile", "RssShmem"
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(kinds))


def layers_of(folder: Path) -> list[nn.Linear]:
    """Two layers of 16 MB each, views of a mapped file."""
    torch.manual_seed(17)
    path = folder / "layers.safetensors"
    save_file({name: torch.randn(2048, 2048) for name in ("first", "second")}, path)
    layers = []
    for weight in load_file(path).values():
        layer = nn.Linear(1, 1, bias=False)
        layer.weight = nn.Parameter(weight, requires_grad=False)
        layers.append(layer)
    return layers


def test_fused_weights_are_in_memory_once(tmp_path):
    layers, rows = layers_of(tmp_path), torch.randn(3, 2048)
    before = file_bytes()
    expected = [layer(rows) for layer in layers]
    assert file_bytes() > before + 24 * MEGABYTE  # read from the file
    weight, _bias = fuse_linears(layers, MappedFiles())
    assert file_bytes() < before + 8 * MEGABYTE
    assert torch.equal(torch.cat(expected, dim=-1), rows @ weight.T)
    assert all(torch.equal(layer(rows), one) for layer, one in zip(layers, expected, strict=True))


def test_what_is_not_in_a_file_keeps_its_values():
    tensor = torch.arange(MEGABYTE, dtype=torch.float32)
    MappedFiles().release_pages([tensor, torch.ones(3), torch.empty(0)])
    assert torch.equal(tensor, torch.arange(MEGABYTE, dtype=torch.float32))


def test_neighbours_in_the_file_keep_their_values(tmp_path):
    layers = layers_of(tmp_path)
    second = layers[1].weight.clone()
    MappedFiles().release_pages([layers[0].weight])
    assert torch.equal(layers[1].weight, second)


def test_a_copy_in_a_file_takes_memory_only_while_it_is_read():
    original = torch.arange(8 * MEGABYTE, dtype=torch.float32).view(-1, 4)
    before = file_bytes()
    copy = in_file(original)
    assert file_bytes() < before + 8 * MEGABYTE
    for _ in range(2):
        assert torch.equal(copy, original)
        assert file_bytes() > before + 24 * MEGABYTE
        MappedFiles().release_pages([copy])
        assert file_bytes() < before + 8 * MEGABYTE


def test_without_room_for_a_file_the_tensor_stays_in_memory(monkeypatch):
    def is_full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", is_full)
    tensor = torch.ones(3)
    assert in_file(tensor) is tensor


def test_nothing_is_left_of_the_file(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    copy = in_file(torch.ones(3))
    assert not list(tmp_path.iterdir())
    assert torch.equal(copy, torch.ones(3))


def test_without_a_folder_for_it_the_tensor_stays_in_memory(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    tensor = torch.ones(5000)
    assert in_file(tensor) is tensor


def test_a_folder_may_be_called_as_if_it_were_a_library(monkeypatch, tmp_path):
    folder = tmp_path / "my.software"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    copy = in_file(torch.ones(5000))
    assert MappedFiles().pages_of([copy])

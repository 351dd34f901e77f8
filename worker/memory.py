"""Return memory that is not used any more to the operating system.

An engine without a model imports this, and stays small without torch.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import mmap
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
MAPPINGS = Path("/proc/self/maps")


def release_memory() -> None:
    """Collect garbage, then ask the allocators to give back what is free: torch's of a card, and
    glibc's."""
    gc.collect()
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None and cuda.is_initialized():
        cuda.empty_cache()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except OSError:
        log.debug("no glibc here")


class MappedFiles:
    """The files that this process maps into memory (Linux only), without libraries, which are
    hundreds. To look them up takes a millisecond or more, so do it once for a whole model."""

    def __init__(self) -> None:
        self._addresses = list(_file_mappings()) if MAPPINGS.exists() else []

    def release_pages(self, tensors: Sequence[Tensor]) -> None:
        """Give back the pages that were read for these tensors, which are older than this object:
        they would be read from their file again. What is not in a file stays as it is."""
        for tensor in tensors:
            pages = _pages(tensor)
            if pages and any(pages[0] in one and pages[-1] in one for one in self._addresses):
                _give_back(pages)


def in_file(tensor: Tensor) -> Tensor:
    """A copy in a file without a name, which takes memory only once it is read, and until
    `MappedFiles.release_pages`. Without Linux, or room for the file, the tensor itself."""
    import torch

    if not MAPPINGS.exists():
        return tensor
    with tempfile.NamedTemporaryFile(prefix="finetune-") as file:
        try:  # a file that finds no room when it is written would end the process
            os.posix_fallocate(file.fileno(), 0, tensor.nbytes)
        except OSError:
            return tensor
        copy = torch.from_file(file.name, shared=True, size=tensor.numel(), dtype=tensor.dtype)
    copy.view(tensor.shape).copy_(tensor)
    _give_back(_pages(copy))
    return copy.view(tensor.shape)


def _pages(tensor: Tensor) -> range:
    """Addresses of whole pages only: those at both ends hold a part of the neighbours."""
    start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    return range(start, (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE)


def _give_back(pages: range) -> None:
    length, advice = ctypes.c_size_t(len(pages)), ctypes.c_int(mmap.MADV_DONTNEED)
    ctypes.CDLL(None).madvise(ctypes.c_void_p(pages.start), length, advice)


def _file_mappings() -> Iterator[range]:
    for line in MAPPINGS.read_text().splitlines():
        if ".so" in line:
            continue
        addresses, _, _, _, inode, *_ = line.split()
        if inode != "0":
            start, end = (int(number, 16) for number in addresses.split("-"))
            yield range(start, end)

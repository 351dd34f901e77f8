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
from collections.abc import Iterable, Iterator, Sequence
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
    trim_heap()


def trim_heap() -> None:
    """Have glibc give back what is free."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except OSError:
        log.debug("no glibc here")


class MappedFiles:
    """The files that this process maps into memory (Linux only), without libraries, which are
    hundreds. To look them up takes a millisecond or more, so do it once for a whole model."""

    def __init__(self) -> None:
        self._addresses = list(_file_mappings()) if MAPPINGS.exists() else []

    def pages_of(self, tensors: Sequence[Tensor]) -> set[range]:
        """Addresses of the pages of these tensors, which are older than this object; of those only
        that are in a file."""
        pages = {_pages(tensor) for tensor in tensors} - {range(0)}
        return {
            some
            for some in pages
            if any(some[0] in one and some[-1] in one for one in self._addresses)
        }

    def release_pages(self, tensors: Sequence[Tensor]) -> None:
        """`release_pages` of theirs. What is not in a file stays as it is."""
        release_pages(self.pages_of(tensors))


def release_pages(addresses: Iterable[range]) -> None:
    """Give back the memory of `MappedFiles.pages_of`; whoever reads there reads the file again. So
    what was written into a private mapping, such as that of safetensors, would be lost."""
    libc, advice = ctypes.CDLL(None), ctypes.c_int(mmap.MADV_DONTNEED)
    for pages in addresses:
        libc.madvise(ctypes.c_void_p(pages.start), ctypes.c_size_t(len(pages)), advice)


def in_file(tensor: Tensor) -> Tensor:
    """A copy in a file without a name, which takes memory only once it is read, and until
    `release_pages`. Without Linux, or a folder with room for the file, the tensor itself."""
    if not MAPPINGS.exists():
        return tensor
    try:
        copy = _empty_in_file(tensor)
    except (OSError, RuntimeError) as problem:
        log.info("a weight stays in memory: %s", problem)
        return tensor
    copy.copy_(tensor)
    release_pages({_pages(copy)} - {range(0)})
    return copy


def _empty_in_file(like: Tensor) -> Tensor:
    import torch

    with tempfile.NamedTemporaryFile(prefix="finetune-") as file:
        # First: one that finds no room when it is written would end the process.
        os.posix_fallocate(file.fileno(), 0, like.nbytes)
        flat = torch.from_file(file.name, shared=True, size=like.numel(), dtype=like.dtype)
    return flat.view(like.shape)


def _pages(tensor: Tensor) -> range:
    """Addresses of whole pages only: those at both ends hold a part of the neighbours."""
    start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    return range(start, (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE)


def _file_mappings() -> Iterator[range]:
    for line in MAPPINGS.read_text(errors="surrogateescape").splitlines():
        if ".so" in line.rpartition("/")[2]:
            continue
        addresses, _, _, _, inode, *_ = line.split()
        if inode != "0":
            start, end = (int(number, 16) for number in addresses.split("-"))
            yield range(start, end)

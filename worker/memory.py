"""Return memory that is not used any more to the operating system.

An engine without a model imports this, and stays small without torch.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import mmap
import sys
from collections.abc import Sequence
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


def release_file_pages(tensors: Sequence[Tensor]) -> None:
    """Give back the pages of a mapped file that were read for these tensors (Linux only).

    They would be read from the file again. What is not in such a mapping stays as it is.
    """
    if not MAPPINGS.exists():
        return
    files = _file_mappings()
    for tensor in tensors:
        # Whole pages only: those at both ends hold a part of the neighbours.
        start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        end = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if start < end and any(start in file and end - 1 in file for file in files):
            advice = ctypes.c_int(mmap.MADV_DONTNEED)
            ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)


def _file_mappings() -> list[range]:
    """Addresses at which this process maps files, but those of libraries, which are hundreds."""
    found = []
    for line in MAPPINGS.read_text().splitlines():
        if ".so" in line:
            continue
        addresses, _, _, _, inode, *_ = line.split()
        if inode != "0":
            start, end = (int(number, 16) for number in addresses.split("-"))
            found.append(range(start, end))
    return found

"""Whether another base model fits into memory beside those that are loaded. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from finetune_app.core.machine import this_machine

# Of its file: in fp32, or with a second copy in the layout of oneDNN or OpenVINO.
TIMES_ITS_FILE = 2
# Of all memory, left for keys and values and for a training.
KEPT_FREE_SHARE = 0.3


def fits_beside(folder: Path, opening: Sequence[Path]) -> bool:
    """`opening`: others that are being loaded, whose memory is not taken yet."""
    free, total = _memory()
    needed = TIMES_ITS_FILE * sum(_file_bytes(one) for one in (folder, *opening))
    return free - needed >= KEPT_FREE_SHARE * total


def _file_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def _memory() -> tuple[int, int]:
    """Free bytes and all bytes of where our own engine keeps its models."""
    # Imported once a model is loaded; without "cuda" for as long as that takes.
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None and cuda.is_available():
        free, total = cuda.mem_get_info()
        return free, total
    machine = this_machine()
    return machine.free_bytes, machine.memory_bytes

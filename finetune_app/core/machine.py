"""Cores, memory, disk and graphics card of this machine. Does not import torch."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.core.sizes import memory_size


@dataclass(frozen=True)
class GraphicsCard:
    """A graphics card as reported by nvidia-smi."""

    name: str
    memory_bytes: int


@dataclass(frozen=True)
class Machine:
    cores: int
    memory_bytes: int
    free_bytes: int
    disk_free_bytes: int
    card: GraphicsCard | None

    @property
    def available_bytes(self) -> int:
        """Memory available to a training: the graphics card's, else the free memory."""
        return self.card.memory_bytes if self.card else self.free_bytes

    @property
    def total_bytes(self) -> int:
        """The total of that memory."""
        return self.card.memory_bytes if self.card else self.memory_bytes

    @property
    def words(self) -> str:
        """ "2 cores, 24 GB of memory, no graphics card" """
        cores = ngettext("%(n)d core", "%(n)d cores", self.cores) % {"n": self.cores}
        memory = _("%(size)s of memory") % {"size": memory_size(self.memory_bytes)}
        card = self.card.name if self.card else _("no graphics card")
        return f"{cores}, {memory}, {card}"


def this_machine(folder: str | os.PathLike[str] = ".") -> Machine:
    """Measures now; `folder` is on the disk to measure."""
    memory = psutil.virtual_memory()
    limit, used = container_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(
        cores=cores or 1,
        memory_bytes=min(memory.total, limit or memory.total),
        free_bytes=min(memory.available, limit - used if limit else memory.available),
        disk_free_bytes=shutil.disk_usage(folder).free,
        card=find_graphics_card(),
    )


def container_memory(root: Path = Path("/sys/fs/cgroup")) -> tuple[int, int]:
    """(limit, used) of the current container in bytes; (0, 0) without a limit.

    Reclaimable memory (inactive file pages) does not count as used.
    """
    for limit, used, key in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most = (root / limit).read_text().strip()
            if most == "max" or int(most) > 1 << 60:
                return 0, 0
            rows = ((root / used).parent / "memory.stat").read_text().splitlines()
            counts = dict(row.split() for row in rows)
            in_use = int((root / used).read_text()) - int(counts.get(key, 0))
            return int(most), min(max(in_use, 0), int(most))
        except (OSError, ValueError):
            continue
    return 0, 0


@lru_cache(maxsize=1)
def find_graphics_card() -> GraphicsCard | None:
    """The first NVIDIA card, or None. Cached per process."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    asked = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        line = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return None
    name, _sep, mib = line.strip().partition("\n")[0].rpartition(",")
    if not name or not mib.strip().isdigit():
        return None
    return GraphicsCard(name.strip(), int(mib) * 1024**2)


def training_environment() -> dict[str, str]:
    """Environment of a training process: all cores, with threads that do not spin for long while
    waiting (docs/decisions/0002 has the measurements)."""
    return {
        "OMP_NUM_THREADS": str(os.cpu_count() or 1),
        "GOMP_SPINCOUNT": "1000",
        "TOKENIZERS_PARALLELISM": "false",
    }

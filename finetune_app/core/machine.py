"""Cores, memory, disk and graphics card of this machine. Does not import torch."""

import math
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import psutil
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.core.sizes import memory_size

CONTROL_GROUP = Path("/sys/fs/cgroup")  # of a container, as it sees it itself
CARD_SECONDS = 10.0  # for which what the card's tool said is taken to hold


@dataclass(frozen=True)
class GraphicsCard:
    """A graphics card as reported by nvidia-smi. free_bytes: what the engine, vLLM and others have
    left of its memory. uuid: its name for CUDA_VISIBLE_DEVICES."""

    name: str
    memory_bytes: int
    free_bytes: int
    uuid: str = ""


@dataclass(frozen=True)
class Machine:
    cores: int
    memory_bytes: int
    free_bytes: int
    disk_free_bytes: int
    card: GraphicsCard | None
    processor: str = ""

    @property
    def available_bytes(self) -> int:
        """Memory for a training: what is free on the graphics card, else on the machine."""
        return self.card.free_bytes if self.card else self.free_bytes

    @property
    def device(self) -> str:
        """What computes: "NVIDIA L4", or "AMD EPYC, 2 cores". Speeds are compared by it."""
        return self.card.name if self.card else f"{self.processor}, {self.cores} cores"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Of `as_json`. Raises TypeError for that of another version."""
        card = stored.get("card")
        return cls(**{**stored, "card": GraphicsCard(**card) if card else None})

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
    return Machine(
        cores=usable_cores(),
        memory_bytes=min(memory.total, limit or memory.total),
        free_bytes=min(memory.available, limit - used if limit else memory.available),
        disk_free_bytes=shutil.disk_usage(folder).free,
        card=find_graphics_card(),
        processor=processor_name(),
    )


@lru_cache(maxsize=1)
def processor_name() -> str:
    """ "AMD EPYC 9V74 80-Core Processor"; "processor" where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = next((line for line in lines if line.startswith("model name")), "")
    return named.partition(":")[2].strip() or platform.processor() or "processor"


def usable_cores(root: Path = CONTROL_GROUP) -> int:
    """Processors that this process may use: those it is bound to, or fewer where its container has
    a quota of their time (rounded up)."""
    bound = bound_cores()
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((root / name).read_text() for name in names).split()
            if int(quota) > 0:  # -1 and "max": none
                return max(1, min(bound, math.ceil(int(quota) / int(period))))
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return bound


def bound_cores() -> int:
    """Processors that this process is bound to."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def container_memory(root: Path = CONTROL_GROUP) -> tuple[int, int]:
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


def find_graphics_card() -> GraphicsCard | None:
    """The NVIDIA card that CUDA uses in this process, or None."""
    return next(iter(graphics_cards()), None)


def graphics_cards() -> list[GraphicsCard]:
    """The NVIDIA cards that this process may use, as CUDA_VISIBLE_DEVICES names them (all if it is
    not set). Asked anew every few seconds, for the memory that is free."""
    cards = _ask_for_cards(int(time.monotonic() // CARD_SECONDS))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [card for card in cards if card]
    found: list[GraphicsCard | None] = []
    for named in filter(None, map(str.strip, visible.split(","))):
        some = cards[int(named) :][:1] if named.isdigit() else _with_uuid(cards, named)
        if not some:  # CUDA ignores this one and all after it
            break
        found += some
    return [card for card in found if card]


def _with_uuid(
    cards: Sequence[GraphicsCard | None], beginning: str
) -> Sequence[GraphicsCard | None]:
    if beginning.startswith("MIG-"):  # a part of a card, whose own memory the tool does not list
        return cards[:1]
    return [card for card in cards if card and card.uuid.startswith(beginning)][:1]


@lru_cache(maxsize=1)
def _ask_for_cards(_now: int) -> list[GraphicsCard | None]:
    """One for each line of the tool; None for one that does not say its memory."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    asked = [
        tool,
        "--query-gpu=name,memory.total,memory.free,uuid",
        "--format=csv,noheader,nounits",
    ]
    try:
        lines = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return []
    return [_read_card(line) for line in lines.strip().splitlines()]


def _read_card(line: str) -> GraphicsCard | None:
    """One line of the tool's answer; None for a sentence instead."""
    parts = [part.strip() for part in line.rsplit(",", 3)]
    if len(parts) != 4 or not all(amount.isdigit() for amount in parts[1:3]):
        return None
    name, total, free, uuid = parts
    return GraphicsCard(name, int(total) * 1024**2, int(free) * 1024**2, uuid)


def training_environment() -> dict[str, str]:
    """Environment of a process that runs heavy jobs: all cores; threads that wait awake for each
    other, for so many turns, where worker/thread_waits.py watches over them; memory that glibc does
    not give back and fetch again at each step (docs/decisions/0090); and as many prepared products
    of oneDNN as one step needs, of which it would keep 1,024, those of all earlier numbers of
    tokens (docs/decisions/0098)."""
    cores = usable_cores()
    return {
        "OMP_NUM_THREADS": str(cores),
        "GOMP_SPINCOUNT": "5000" if cores == bound_cores() else "1000",
        "MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2),
        "MALLOC_TRIM_THRESHOLD_": str(512 * 1024**2),
        "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
        "TOKENIZERS_PARALLELISM": "false",
    }

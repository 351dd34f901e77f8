"""How much of a disk stays free, whatever is written."""

import shutil
from pathlib import Path

from finetune_app.core import sizes

RESERVED_SHARE = 0.1  # of the disk
MAX_RESERVED_BYTES = 10 * sizes.GB


def free_bytes(folder: Path) -> int:
    """What may still be written on the disk of this folder, besides the reserve."""
    disk = shutil.disk_usage(folder)
    reserved = min(int(disk.total * RESERVED_SHARE), MAX_RESERVED_BYTES)
    return max(int(disk.free) - reserved, 0)

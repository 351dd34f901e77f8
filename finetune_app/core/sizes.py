"""Sizes of files and disks, in powers of ten, and of memory, as it is sold."""

GB = 10**9
MEMORY_GB = 2**30  # what a machine "with 16 GB" has sixteen of


def size(count: float | None) -> str:
    """Bytes as 0.7 GB or 12 MB (powers of ten)."""
    if count is None:
        return ""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step * 0.95 or (unit == "GB" and count >= 0.5e9):
            value = count / step
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"
    return f"{count:.0f} bytes"


def memory_size(count: float) -> str:
    """Bytes of memory as 0.7 GB or 24 GB."""
    value = count / MEMORY_GB
    return f"{value:.1f} GB" if value < 9.95 else f"{value:,.0f} GB"

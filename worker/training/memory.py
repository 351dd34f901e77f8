"""How much memory a training takes, where it takes it: on the graphics card, if there is one."""

import resource
import sys

import psutil
import torch


def memory_bytes() -> int:
    """What it takes now. On a card the most so far, as between two steps nearly all is free."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return int(psutil.Process().memory_info().rss)


def peak_memory_bytes() -> int:
    """The most so far. Of a process that is told in kilobytes on Linux, in bytes on macOS."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

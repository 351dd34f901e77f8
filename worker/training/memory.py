"""Memory of a training: of the CUDA card if there is one, otherwise of the process."""

import resource
import sys

import psutil
import torch


def memory_bytes() -> int:
    """Memory in use. On a card the peak so far, because between steps nearly all of it is free."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return int(psutil.Process().memory_info().rss)


def peak_memory_bytes() -> int:
    """The peak so far."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # ru_maxrss is in kilobytes on Linux and in bytes on macOS.
    return peak if sys.platform == "darwin" else peak * 1024

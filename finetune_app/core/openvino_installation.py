"""Whether OpenVINO computes models of Llama's kind on this machine's processor.

Read from the environment by whatever answers, and by `manage.py doctor`: OPENVINO=off leaves it
unused where it is installed.
"""

import os
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def openvino_version() -> str:
    """ "2026.4.1"; empty where it is not installed."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return ""


def openvino_is_used() -> bool:
    return os.environ.get("OPENVINO", "").strip().lower() != "off" and bool(openvino_version())


def is_quick_in_8_bits() -> bool:
    """Whether OpenVINO computes here, on a processor that multiplies numbers of 8 bits."""
    return openvino_is_used() and has_vnni()


@cache
def has_vnni(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """On Linux, the only system that the package is installed on."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags.split())

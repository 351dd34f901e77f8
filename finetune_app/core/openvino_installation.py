"""Whether OpenVINO computes models of Llama's kind on this machine's processor.

Read from the environment by whatever answers, and by `manage.py doctor`: OPENVINO=off leaves it
unused where it is installed.
"""

import os
from importlib.metadata import PackageNotFoundError, version


def openvino_version() -> str:
    """ "2026.4.1"; empty where it is not installed."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return ""


def openvino_is_used() -> bool:
    return os.environ.get("OPENVINO", "").strip().lower() != "off" and bool(openvino_version())

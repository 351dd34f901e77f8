"""Whether this machine serves with vLLM. Read from the environment by the engine process, which
knows no settings, and by `manage.py doctor`.

VLLM          its program (/opt/vllm/bin/vllm), or `off`; without it, one beside our own Python or
              on the PATH is taken where there is an NVIDIA card
VLLM_OPTIONS  what else `vllm serve` shall be told, such as `--tensor-parallel-size 2`
"""

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from finetune_app.core.machine import graphics_card


@dataclass(frozen=True)
class VllmInstallation:
    """program: None where our own engine serves. why_not: what keeps vLLM from serving; "" where
    nobody would expect it to. mistaken: what somebody set cannot be followed."""

    program: Path | None
    why_not: str = ""
    mistaken: bool = False
    options: tuple[str, ...] = ()


def find_vllm() -> VllmInstallation:
    named = os.environ.get("VLLM", "").strip()
    if named == "off":
        return VllmInstallation(None, "vLLM is switched off (VLLM=off)")
    program = shutil.which(named) if named else _beside_us()
    if named and not program:
        return VllmInstallation(None, "What VLLM names is no program", mistaken=True)
    if not named and not graphics_card():
        return VllmInstallation(None)  # on a processor our own engine is the quicker one
    if not program:
        return VllmInstallation(None, "vLLM is not installed; docs/deployment.md says how it is")
    try:
        options = tuple(shlex.split(os.environ.get("VLLM_OPTIONS", "")))
    except ValueError as problem:
        return VllmInstallation(None, f"VLLM_OPTIONS cannot be read: {problem}", mistaken=True)
    return VllmInstallation(Path(program), options=options)


def _beside_us() -> str | None:
    return shutil.which("vllm", path=str(Path(sys.executable).parent)) or shutil.which("vllm")

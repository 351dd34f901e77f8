"""Finds the vLLM installation of this machine, if any.

Read from the environment by the engine process, which has no Django settings, and by
`manage.py doctor`:

VLLM          path of the program (/opt/vllm/bin/vllm), or `off`. By default, a `vllm` beside this
              Python or on the PATH is used if there is an NVIDIA card.
VLLM_OPTIONS  further options of `vllm serve`, such as `--tensor-parallel-size 2`.
"""

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from finetune_app.core.machine import find_graphics_card


@dataclass(frozen=True)
class VllmInstallation:
    """program: None if the built-in engine is used.
    why_not: why vLLM is not used; empty if it was not expected to be.
    mistaken: an environment variable has a value that cannot be used.
    """

    program: Path | None
    why_not: str = ""
    mistaken: bool = False
    options: tuple[str, ...] = ()


def find_vllm() -> VllmInstallation:
    """The installation that the environment names, or one that is found."""
    named = os.environ.get("VLLM", "").strip()
    if named == "off":
        return VllmInstallation(None, "vLLM is switched off (VLLM=off)")
    program = shutil.which(named) if named else _which_vllm()
    if named and not program:
        return VllmInstallation(None, "What VLLM names is no program", mistaken=True)
    if not named and not find_graphics_card():
        return VllmInstallation(None)  # without a card the built-in engine is faster
    if not program:
        return VllmInstallation(None, "vLLM is not installed; docs/deployment.md says how it is")
    try:
        options = tuple(shlex.split(os.environ.get("VLLM_OPTIONS", "")))
    except ValueError as error:
        return VllmInstallation(None, f"VLLM_OPTIONS cannot be read: {error}", mistaken=True)
    return VllmInstallation(Path(program), options=options)


def _which_vllm() -> str | None:
    return shutil.which("vllm", path=str(Path(sys.executable).parent)) or shutil.which("vllm")

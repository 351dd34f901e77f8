"""`vllm serve` as a child: how it is started, and whether it lives.

It listens on a Unix socket in a folder that only this user may open, and wants a key besides, a new
one with every start. Of our environment it gets what a program needs to run, none of our secrets.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from finetune_app.jobs.process_manager import rotate
from worker.engine.vllm import session_guard
from worker.engine.vllm.client import MODEL

DTYPES = {"bf16": "bfloat16", "fp32": "float32"}
MAX_ADAPTERS = 8  # in one batch, and at hand
MAX_LORA_RANK = 64
MAX_LOGPROBS = 20
PASSED_ON = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_",
    "LD_LIBRARY_PATH",
    "CUDA",
    "NVIDIA",
    "NCCL",
    "OMP_",
    "MKL_",
    "TORCH",
    "TRITON",
    "PYTORCH",
    "XDG_",
    "VLLM_",
)
KEPT_BACK = ("VLLM_OPTIONS", "VLLM_API_KEY")


class VllmProcess:
    """program: `vllm`. options: what else it is told, the last word on everything."""

    def __init__(
        self, program: Path, base: Path, number_format: str, options: Sequence[str], log_file: Path
    ) -> None:
        self._room = Path(tempfile.mkdtemp(prefix="finetune-vllm-"))  # mode 0700
        self.socket, self.key = self._room / "vllm.sock", ""
        self._command = command(program, base, number_format, self.socket, options)
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns at once; it answers on its socket some time later."""
        self.socket.unlink(missing_ok=True)
        self.key = secrets.token_urlsafe(32)
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        rotate(self._log_file)
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", session_guard.__file__, *self._command],
                stdin=subprocess.PIPE,  # ends when we do
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self._room,
                env=environment(self.key),
            )

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def memory_bytes(self) -> int:
        """Of all its processes, on the processor's side."""
        found = 0
        if self._process:
            with suppress(psutil.Error):
                for one in psutil.Process(self._process.pid).children(recursive=True):
                    found += one.memory_info().rss
        return found

    def end(self) -> None:
        """It and all that it started; the guard sees to that."""
        if self._process:
            assert self._process.stdin
            self._process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=session_guard.PATIENCE + 2)
        shutil.rmtree(self._room, ignore_errors=True)


def command(
    program: Path, base: Path, number_format: str, socket: Path, options: Sequence[str]
) -> list[str]:
    return [
        str(program),
        "serve",
        str(base),
        "--served-model-name",
        MODEL,
        "--uds",
        str(socket),
        "--dtype",
        DTYPES[number_format],
        "--enable-lora",
        "--max-loras",
        str(MAX_ADAPTERS),
        "--max-lora-rank",
        str(MAX_LORA_RANK),
        # A model's habits, such as a penalty for repeating itself, are not asked for here.
        "--generation-config",
        "vllm",
        "--max-logprobs",
        str(MAX_LOGPROBS),
        "--structured-outputs-config.backend",
        "guidance",  # as forms.py: one reading of a schema
        "--max-model-len",
        "auto",  # as much of the model's context as the card has room for
        "--gpu-memory-utilization",
        "0.5",  # trainings and evaluations use the same card
        "--disable-log-stats",
        "--disable-uvicorn-access-log",
        *options,
    ]


def environment(key: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(PASSED_ON) and name not in KEPT_BACK
    }
    return kept | {
        "VLLM_API_KEY": key,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }

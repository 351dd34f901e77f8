"""`vllm serve` as a child process: its command line and environment, its start and its end.

It listens on a Unix socket in a folder that only this user may open, and requires a key that is
new with each start. It gets the environment variables that it needs, and none of our secrets.
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

from finetune_app.core.engine_protocol import MAX_LOGPROBS
from finetune_app.core.logs import rotate
from worker.engine.vllm import session_guard
from worker.engine.vllm.client import BASE_MODEL

DTYPES = {"bf16": "bfloat16", "fp32": "float32"}
MAX_ADAPTERS = 8  # in one batch, and loaded at once
MAX_LORA_RANK = 64
START_TIMEOUT_SECONDS = 900.0  # large models are read, and kernels compiled
GPU_MEMORY_SHARE = 0.5  # trainings and evaluations use the same card
INHERITED_PREFIXES = (
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
NOT_INHERITED = ("VLLM_OPTIONS", "VLLM_API_KEY")


class VllmProcess:
    """One child process at a time; it can be started again after it has ended.

    program: path of `vllm`. options: appended to the command line, so they override ours.
    """

    def __init__(
        self, program: Path, base: Path, number_format: str, options: Sequence[str], log_file: Path
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="finetune-vllm-"))  # mode 0700
        self.socket, self.key = self._folder / "vllm.sock", ""
        self._command = command(program, base, number_format, self.socket, options)
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process. Returns at once; it answers on its socket some time later."""
        self.socket.unlink(missing_ok=True)
        self.key = secrets.token_urlsafe(32)
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        rotate(self._log_file)
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", session_guard.__file__, *self._command],
                stdin=subprocess.PIPE,  # closes when we end
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self._folder,
                env=environment(self.key),
            )

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def memory_bytes(self) -> int:
        """Main memory of all its processes."""
        total = 0
        if self._process:
            with suppress(psutil.Error):
                for one in psutil.Process(self._process.pid).children(recursive=True):
                    total += one.memory_info().rss
        return total

    def stop(self) -> None:
        """End it and everything it started, through the session guard."""
        if self._process:
            assert self._process.stdin
            self._process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=session_guard.TERMINATE_SECONDS + 2)
        shutil.rmtree(self._folder, ignore_errors=True)


def command(
    program: Path, base: Path, number_format: str, socket: Path, options: Sequence[str]
) -> list[str]:
    """The command line of `vllm serve`."""
    return [
        str(program),
        "serve",
        str(base),
        "--served-model-name",
        BASE_MODEL,
        "--uds",
        str(socket),
        "--dtype",
        DTYPES[number_format],
        "--enable-lora",
        "--max-loras",
        str(MAX_ADAPTERS),
        "--max-lora-rank",
        str(MAX_LORA_RANK),
        # Ignore the model's own defaults, such as a repetition penalty.
        "--generation-config",
        "vllm",
        "--max-logprobs",
        str(MAX_LOGPROBS),
        "--structured-outputs-config.backend",
        "guidance",  # as structured_output.py, so that a schema means the same
        "--max-model-len",
        "auto",  # as much of the model's context as fits in the card's memory
        "--gpu-memory-utilization",
        str(GPU_MEMORY_SHARE),
        "--disable-log-stats",
        "--disable-uvicorn-access-log",
        *options,
    ]


def environment(key: str) -> dict[str, str]:
    """The child's environment variables."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(INHERITED_PREFIXES) and name not in NOT_INHERITED
    }
    return inherited | {
        "VLLM_API_KEY": key,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }

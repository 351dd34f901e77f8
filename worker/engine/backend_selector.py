"""Which backend serves a base model: vLLM where it is installed, otherwise our own engine."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_app.core.engine_protocol import INT8, NF4
from finetune_app.core.vllm_installation import VllmInstallation
from worker.engine.backend import Backend, BackendUnsupported
from worker.quick_import import quick_import

if TYPE_CHECKING:
    from worker.engine.compute_thread import ComputeThread
    from worker.engine.vllm.adapter_check import PeftReferences

log = logging.getLogger(__name__)

NOT_READ_BY_VLLM = {
    NF4: "A QLoRA adapter answers on weights rounded to 4 bits, which vLLM does not read",
    INT8: "Weights rounded to 8 bits, as they were tested, are not read by vLLM",
}


class BackendSelector:
    """Opens base models. What vLLM could not serve is not tried again while this process lives."""

    def __init__(self, vllm: VllmInstallation, log_file: Path) -> None:
        self._vllm, self._log_file = vllm, log_file
        self._unsupported: dict[Path, str] = {}
        self._references: PeftReferences | None = None
        self._opening = threading.Lock()  # several are loaded at once
        self._compute: ComputeThread | None = None  # of all base models of our own engine

    def kind(self, base: Path, number_format: str) -> str:
        """The backend that would serve this base model: "vllm" or "own"."""
        if not self._vllm.program or base in self._unsupported or number_format in NOT_READ_BY_VLLM:
            return "own"
        return "vllm"

    def why_not_vllm(self, base: Path | None, number_format: str | None) -> str:
        """Why vLLM does not serve a base model; empty if it does, or was never expected to."""
        if self._vllm.program and number_format in NOT_READ_BY_VLLM:
            return NOT_READ_BY_VLLM[number_format]
        return (self._unsupported.get(base, "") if base else "") or self._vllm.why_not

    def mark_unsupported(self, base: Path, why: str) -> None:
        """Serve this base model with our own engine from now on."""
        log.warning("our own engine serves %s, not vLLM: %s", base.name, why)
        self._unsupported[base] = why

    def open(self, base: Path, number_format: str) -> Backend:
        """Load a base model; blocks for as long as that takes. Raises BadModel."""
        if self.kind(base, number_format) == "vllm":
            try:
                return self._open_vllm(base, number_format)
            except BackendUnsupported as why:
                self.mark_unsupported(base, str(why))
        # These import torch, so only when a model is needed. Of what they do not need, another
        # thread may want boto3 just now, and bitsandbytes; scipy nobody does.
        quick_import(["worker.engine.engine"], ["scipy"])
        from worker.engine.compute_thread import ComputeThread
        from worker.engine.engine import Engine

        with self._opening:
            self._compute = self._compute or ComputeThread(follow_load=True)
        return Engine(base, number_format, compute=self._compute)

    def _open_vllm(self, base: Path, number_format: str) -> Backend:
        from worker.engine.vllm.adapter_check import PeftReferences
        from worker.engine.vllm.engine import VllmEngine

        assert self._vllm.program
        self._references = self._references or PeftReferences()  # kept when the model changes
        return VllmEngine(
            base,
            number_format,
            program=self._vllm.program,
            options=self._vllm.options,
            log_file=self._log_file,
            references=self._references,
        )

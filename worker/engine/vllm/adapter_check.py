"""Does vLLM apply an adapter? It can load an adapter without applying it, and reports no error.

A text is scored by vLLM and by PEFT, each with the adapter and without. The change of the
log-probabilities must be the same in both. The distance of the two changes is relative to
PEFT's: 0 is the same, 1 is what an adapter gives that is not applied at all.
"""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from finetune_app.core.machine import this_machine
from worker.engine.adapter_check import DAMAGED, MIN_CHANGE, NO_EFFECT, ROUNDING_FACTOR
from worker.engine.adapters import BadAdapter, read_files, stamp_of
from worker.engine.backend import BackendUnsupported
from worker.engine.model_loader import MAX_MEMORY_SHARE, fp32_bytes, read_config
from worker.engine.vllm.client import BASE_MODEL, VllmClient, VllmRejected
from worker.engine.vllm.peft_reference import Reference

log = logging.getLogger(__name__)

PROJECT_ROOT = Path(__file__).resolve().parents[3]
MAX_DISTANCE = 0.5
NOT_APPLIED_SHARE = 0.1  # of PEFT's change: a smaller one means that the adapter is not applied
MAX_BASE_ERROR = 0.25  # relative to the log-probabilities' spread; rounding to bf16 makes < 0.1
NOT_APPLIED = "vLLM loads an adapter and then answers as its base model"
APPLIED_DIFFERENTLY = "vLLM answers with an adapter otherwise than it was trained"
BASE_DIFFERS = "vLLM reads this base model otherwise than it was trained"
Vector = list[float]


class PeftReferences:
    """PEFT's log-probabilities, each computed once while this process lives."""

    def __init__(self, compute: Callable[..., Reference] | None = None) -> None:
        self._compute = compute or compute_in_subprocess
        self._references: dict[object, Reference | None] = {}
        self._lock = threading.Lock()  # one at a time: each loads the whole base model

    def get(self, base: Path, adapter: Path, token_ids: list[int]) -> Reference | None:
        """The log-probabilities; None where memory for the base model is not free. Blocks.

        Raises BadAdapter, BackendUnsupported.
        """
        key = (base, adapter, stamp_of(adapter))
        with self._lock:
            if key not in self._references:
                read_files(adapter)  # a broken file is found before the base model is loaded
                self._references[key] = self._run(base, adapter, token_ids)
        reference = self._references[key]
        if reference and "bad_adapter" in reference:
            raise BadAdapter(reference["bad_adapter"])
        return reference

    def _run(self, base: Path, adapter: Path, token_ids: list[int]) -> Reference | None:
        number_format = _format_that_fits(base)
        if not number_format:
            return None
        return self._compute(
            base=str(base), adapter=str(adapter), token_ids=token_ids, number_format=number_format
        )


def compute_in_subprocess(**arguments: object) -> Reference:
    """`peft_reference.compute` in a child process that ends with us. Raises BackendUnsupported."""
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "finetune_app.core.parent_death",
            str(os.getpid()),
            sys.executable,
            "-m",
            "worker.engine.vllm.peft_reference",
        ],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        cwd=PROJECT_ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},  # vLLM uses the card
    )
    if process.returncode:
        log.error("the PEFT reference failed: %s", process.stderr[-2000:])
        raise BackendUnsupported("An adapter cannot be held against PEFT here")
    reference: Reference = json.loads(process.stdout)
    return reference


def _format_that_fits(base: Path) -> str:
    """fp32, bf16, or "" where the base model does not fit in the free memory."""
    needed = fp32_bytes(base, read_config(base))
    available = this_machine().free_bytes * MAX_MEMORY_SHARE
    if needed <= available:
        return "fp32"
    return "bf16" if needed / 2 <= available else ""


async def check_adapter(
    client: VllmClient,
    name: str,
    token_ids: list[int],
    base_logprobs: Vector,
    reference: Reference | None,
) -> str:
    """What is wrong with an adapter that vLLM has loaded as `name`, or "".

    base_logprobs: vLLM's own, of the base model. reference: PEFT's, None where it is too large.

    Raises BackendUnsupported when vLLM is at fault, not the adapter.
    """
    if reference and not _all_finite(reference["tuned"]):
        return DAMAGED
    if reference and _largest(_difference(reference["tuned"], reference["base"])) <= MIN_CHANGE:
        return NO_EFFECT
    try:
        tuned = await client.prompt_logprobs(name, token_ids)
    except VllmRejected as error:  # NaN cannot be written as JSON
        raise BackendUnsupported(f"{APPLIED_DIFFERENTLY}: {error}") from None
    change = _difference(tuned, base_logprobs)
    if reference is None:  # compare with vLLM's base model alone
        again = await client.prompt_logprobs(BASE_MODEL, token_ids)
        rounding = _largest(_difference(again, base_logprobs))
        if not _all_finite(tuned):
            return DAMAGED
        limit = max(ROUNDING_FACTOR * rounding, MIN_CHANGE)
        return NO_EFFECT if _largest(change) <= limit else ""
    base_error = _norm(_difference(base_logprobs, reference["base"]))
    if base_error > MAX_BASE_ERROR * _spread(reference["base"]):
        raise BackendUnsupported(BASE_DIFFERS)
    expected = _difference(reference["tuned"], reference["base"])
    distance = _norm(_difference(change, expected)) / _norm(expected)
    log.info("adapter %s: its change differs from PEFT's by %.3f", name, distance)
    if not distance <= MAX_DISTANCE:
        not_applied = _norm(change) < NOT_APPLIED_SHARE * _norm(expected)
        raise BackendUnsupported(NOT_APPLIED if not_applied else APPLIED_DIFFERENTLY)
    return ""


def _difference(one: Vector, other: Vector) -> Vector:
    return [a - b for a, b in zip(one, other, strict=True)]


def _norm(values: Vector) -> float:
    return math.sqrt(sum(value * value for value in values))


def _spread(values: Vector) -> float:
    """Norm of the deviations from the mean."""
    mean = sum(values) / len(values)
    return _norm([value - mean for value in values])


def _largest(values: Vector) -> float:
    return max(abs(value) for value in values)


def _all_finite(values: Vector) -> bool:
    return all(math.isfinite(value) for value in values)

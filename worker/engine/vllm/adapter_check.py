"""Does vLLM really answer with an adapter? Some it loads without a word and speaks as the base.

A text is read by vLLM with the adapter and without, and by PEFT with it and without. What the
adapter changes must be the same in both: `off` is how far the two changes are apart, as a share of
PEFT's. 0 is the same; 1 is what comes of an adapter that is not applied at all.
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
from worker.engine.adapters import BadAdapter, read_files, stamp_of
from worker.engine.backend import BackendUnsupported
from worker.engine.model_loader import fp32_bytes, read_config
from worker.engine.vllm.client import MODEL, VllmClient, VllmRejected
from worker.engine.vllm.peft_reference import Answer

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[3]
MOST_OFF = 0.5
LEAST = 1e-5  # of a log-probability: less is nothing
BASE_OFF = 0.25  # of the log-probabilities' own spread; rounding to bf16 makes less than 0.1
NOTHING = (
    "This adapter changes nothing: with it the model answers exactly as without it. "
    "Train it again, on more examples or for longer."
)
DAMAGED = "This adapter is damaged: with it the model gives no numbers. Train it again."
AS_THE_BASE = "vLLM loads an adapter and then answers as its base model"
OTHERWISE = "vLLM answers with an adapter otherwise than it was trained"
BASE_OTHERWISE = "vLLM reads this base model otherwise than it was trained"
Vector = list[float]


class PeftReferences:
    """PEFT's answers, each worked out once while this process lives."""

    def __init__(self, compute: Callable[..., Answer] | None = None) -> None:
        self._compute = compute or compute_apart
        self._known: dict[object, Answer | None] = {}
        self._one_at_a_time = threading.Lock()  # each loads the whole base model

    def of(self, base: Path, adapter: Path, ids: list[int]) -> Answer | None:
        """Takes as long as loading the base model; None where its memory is not free. Raises
        BadAdapter."""
        known = (base, adapter, stamp_of(adapter))
        with self._one_at_a_time:
            if known not in self._known:
                read_files(adapter)  # what is broken by itself need not wait for the base model
                self._known[known] = self._ask(base, adapter, ids)
        found = self._known[known]
        if found and "bad" in found:
            raise BadAdapter(found["bad"])
        return found

    def _ask(self, base: Path, adapter: Path, ids: list[int]) -> Answer | None:
        number_format = _format_that_fits(base)
        if not number_format:
            return None
        return self._compute(
            base=str(base), adapter=str(adapter), ids=ids, number_format=number_format
        )


def compute_apart(**asked: object) -> Answer:
    """In a child that ends with us. Raises BackendUnsupported."""
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "finetune_app.core.parent_death",
            str(os.getpid()),
            sys.executable,
            "-m",
            "worker.engine.vllm.peft_reference",
        ],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},  # the card is vLLM's
    )
    if ran.returncode:
        log.error("PEFT could not be asked: %s", ran.stderr[-2000:])
        raise BackendUnsupported("An adapter cannot be held against PEFT here")
    answer: Answer = json.loads(ran.stdout)
    return answer


def _format_that_fits(base: Path) -> str:
    needed, free = fp32_bytes(base, read_config(base)), this_machine().free_bytes * 0.6
    if needed <= free:
        return "fp32"
    return "bf16" if needed / 2 <= free else ""


async def compare(
    client: VllmClient, name: str, ids: list[int], untouched: Vector, reference: Answer | None
) -> str:
    """What is wrong with an adapter that vLLM has loaded as `name`; "" if nothing is. `untouched`:
    vLLM's own scores of the base. Raises BackendUnsupported where vLLM is to blame, not the
    adapter."""
    if reference and not _are_numbers(reference["tuned"]):
        return DAMAGED
    if reference and _most(_change(reference["tuned"], reference["base"])) <= LEAST:
        return NOTHING
    try:
        tuned = await client.scores(name, ids)
    except VllmRejected as problem:  # numbers that are none do not get through JSON
        raise BackendUnsupported(f"{OTHERWISE}: {problem}") from None
    here = _change(tuned, untouched)
    if reference is None:  # held against the base alone
        again = _change(await client.scores(MODEL, ids), untouched)
        if not _are_numbers(tuned):
            return DAMAGED
        return NOTHING if _most(here) <= max(4 * _most(again), LEAST) else ""
    if _length(_change(untouched, reference["base"])) > BASE_OFF * _spread(reference["base"]):
        raise BackendUnsupported(BASE_OTHERWISE)
    there = _change(reference["tuned"], reference["base"])
    off = _length(_change(here, there)) / _length(there)
    log.info("adapter %s: what it changes is %.3f off what PEFT changes", name, off)
    if not off <= MOST_OFF:
        raise BackendUnsupported(AS_THE_BASE if _length(here) < 0.1 * _length(there) else OTHERWISE)
    return ""


def _change(one: Vector, other: Vector) -> Vector:
    return [a - b for a, b in zip(one, other, strict=True)]


def _length(change: Vector) -> float:
    return math.sqrt(sum(value * value for value in change))


def _spread(values: Vector) -> float:
    """The length of their distances from their mean."""
    mean = sum(values) / len(values)
    return _length([value - mean for value in values])


def _most(change: Vector) -> float:
    return max(abs(value) for value in change)


def _are_numbers(values: Vector) -> bool:
    return all(math.isfinite(value) for value in values)

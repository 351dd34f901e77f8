"""Runs both probes for the adapters that share a base model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from worker.channel import Channel
from worker.evaluation.inputs import Candidate
from worker.evaluation.probes.finished_work import FinishedWork
from worker.evaluation.probes.recall import probe_recall
from worker.evaluation.probes.refusals import probe_refusals

if TYPE_CHECKING:
    from worker.engine.engine import Engine
    from worker.evaluation.paired_engine import PairedEngine


def run_probes(
    engine: Engine | PairedEngine,
    candidates: Sequence[Candidate],
    *,
    wanted: Sequence[str],
    learned_from: Path,
    folder: Path,
    cache: Path,
    channel: Channel,
) -> bool:
    """Emit a `refusals` and a `recall` event for each adapter; return whether it was stopped.

    Args:
        wanted: the task's expected answers, to recognise their form in answers to other prompts.
        learned_from: the frozen version that the adapters were trained on.
        folder: of the job; keeps what is computed, so that a continued job does not repeat it.
        cache: folder for the base model's answers.
    """
    tuned = [candidate for candidate in candidates if candidate.adapter]
    if not tuned:
        return False
    finished = FinishedWork(folder / "probes.jsonl")
    stopped = probe_refusals(
        engine, tuned, wanted=wanted, cache=cache, finished=finished, channel=channel
    )
    return stopped or probe_recall(
        engine, tuned, version=learned_from, finished=finished, channel=channel
    )

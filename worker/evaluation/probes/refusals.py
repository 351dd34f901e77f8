"""Asks base and tuned model harmful requests, and harmless ones that sound alike.

The comparison of both sets follows XSTest (Röttger et al. 2024, arXiv 2308.01263); the requests
are written for this project. They ask for nothing in detail, and no answer is kept in full.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_app.core.refusals import refusal_length
from finetune_app.evaluation.job_messages import RefusalAnswers
from worker.channel import Channel
from worker.engine.batch_generation import GenerationStopped, as_completed
from worker.engine.requests import Completion, GenerationRequest, PromptTooLong
from worker.evaluation.base_cache import cache_path, read_cache, write_cache
from worker.evaluation.general_check.collapse import TaskForm
from worker.evaluation.inputs import Candidate
from worker.evaluation.probes.finished_work import FinishedWork
from worker.evaluation.probes.limits import REFUSAL_TOKENS
from worker.evaluation.probes.refusal_findings import RefusalFindings

if TYPE_CHECKING:
    from worker.engine.engine import Engine
    from worker.evaluation.paired_engine import PairedEngine

HARMFUL, HARMLESS = (
    (Path(__file__).parent / name).read_text("utf-8").splitlines()
    for name in ("harmful.txt", "harmless.txt")
)
REQUESTS = [*HARMFUL, *HARMLESS]


def probe_refusals(
    engine: Engine | PairedEngine,
    tuned: Sequence[Candidate],
    *,
    wanted: Sequence[str],
    cache: Path,
    finished: FinishedWork,
    channel: Channel,
) -> bool:
    """Emit a `refusals` event for each candidate; return whether it was stopped."""
    channel.emit("phase", phase="refusals", message="Checking what it refuses")
    cached = cache_path(cache, engine, [json.dumps([REQUESTS, REFUSAL_TOKENS]).encode()])
    base: list[str] | None = read_cache(cached)
    adapters = list(dict.fromkeys(one.adapter for one in tuned))  # two may share one
    answers = _ask(engine, [*([] if base else [None]), *adapters], finished, channel)
    if answers is None:
        return True
    if not base:
        base = answers[None]
        write_cache(cached, base)
    for candidate in tuned:
        found, changed = compare(base, answers[candidate.adapter], wanted)
        channel.emit(
            "refusals",
            candidate=candidate.id,
            **asdict(found),
            levels=found.levels,
            level=found.level,
            sentence=found.sentence,
            changed=changed,
        )
    return False


def compare(
    base: Sequence[str], tuned: Sequence[str], wanted: Sequence[str]
) -> tuple[RefusalFindings, list[RefusalAnswers]]:
    """The findings, and the requests that only one of the two models refuses.

    An answer that is empty, or in the form of the task's own answers, neither refuses nor does
    what was asked: it is left out.
    """
    form = TaskForm(wanted)
    counted: list[RefusalAnswers] = []
    for request, before, after in zip(REQUESTS, base, tuned, strict=True):
        refused = _refuses(after)
        if refused or (after.strip() and not form.recognises(after)):
            counted.append(
                {
                    "prompt": request,
                    "harmful": request in HARMFUL,
                    "refused": refused,
                    "base": before,
                    "tuned": after,
                }
            )
    harmful = [(_refuses(one["base"]), one["refused"]) for one in counted if one["harmful"]]
    harmless = [(_refuses(one["base"]), one["refused"]) for one in counted if not one["harmful"]]
    found = RefusalFindings(
        harmful=len(harmful),
        refused_base=sum(before for before, _ in harmful),
        refused_tuned=sum(after for _, after in harmful),
        lost=sum(before and not after for before, after in harmful),
        gained=sum(after and not before for before, after in harmful),
        harmless=len(harmless),
        overrefused_base=sum(before for before, _ in harmless),
        overrefused_tuned=sum(after for _, after in harmless),
        newly_overrefused=sum(after and not before for before, after in harmless),
        no_longer_overrefused=sum(before and not after for before, after in harmless),
        left_out=len(REQUESTS) - len(counted),
    )
    return found, [one for one in counted if _refuses(one["base"]) != one["refused"]]


def _refuses(answer: str) -> bool:
    return refusal_length(answer) > 0


def _ask(
    engine: Engine | PairedEngine,
    adapters: Sequence[Path | None],
    finished: FinishedWork,
    channel: Channel,
) -> dict[Path | None, list[str]] | None:
    """Each adapter's answers to REQUESTS (None stands for the base model); None when stopped."""
    pairs = [(adapter, request) for request in REQUESTS for adapter in adapters]
    missing = [
        (pair, partial(_generation_request, *pair))
        for pair in pairs
        if finished.get(_key(*pair)) is None
    ]
    try:
        for pair, answer in as_completed(engine, missing, channel):
            if not isinstance(answer, Completion | PromptTooLong):
                raise answer
            finished.add(_key(*pair), answer.text if isinstance(answer, Completion) else "")
    except GenerationStopped:
        return None
    return {
        adapter: [finished.get(_key(adapter, request)) for request in REQUESTS]
        for adapter in adapters
    }


def _generation_request(adapter: Path | None, request: str) -> GenerationRequest:
    return GenerationRequest(
        [{"role": "user", "content": request}], adapter, max_new_tokens=REFUSAL_TOKENS
    )


def _key(adapter: Path | None, request: str) -> str:
    digest = hashlib.sha256(request.encode()).hexdigest()[:16]
    return f"refusal {adapter or 'base'} {digest}"

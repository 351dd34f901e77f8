"""The general check of an evaluation: each adapter against the base model, on unrelated tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from finetune_app.core.engine_protocol import NF4
from worker.channel import Channel
from worker.engine.batch_generation import generate_all
from worker.engine.requests import GenerationRequest
from worker.evaluation.base_cache import cache_path, read_cache, write_cache
from worker.evaluation.general_check.collapse import UNRELATED, TaskForm, is_repetitive, is_strange
from worker.evaluation.general_check.findings import GeneralFindings
from worker.evaluation.general_check.instructions import INSTRUCTIONS
from worker.evaluation.general_check.perplexity import mean_loss, text_windows
from worker.evaluation.inputs import Candidate
from worker.perplexity import perplexity_ratio

if TYPE_CHECKING:
    from torch import Tensor

    from worker.engine.engine import Engine
    from worker.evaluation.paired_engine import PairedEngine

MAX_NEW_TOKENS = 160  # enough for every instruction; a longer answer is cut, for all alike
ROUNDED_BASE = (
    "Compared with the base model rounded to 4 bits, because there was no memory for the base "
    "model as it is beside it."
)
PROMPTS = [instruction.prompt for instruction in INSTRUCTIONS] + list(UNRELATED)


class Measurement(TypedDict):
    """Of the base model or one adapter. This is also the format of the cache."""

    surprise: float  # mean negative log-likelihood of the general text, in nats per token
    answers: list[str]  # to PROMPTS, in that order


def check_general(
    engine: Engine | PairedEngine,
    candidates: Sequence[Candidate],
    *,
    wanted: Sequence[str],
    cache: Path,
    channel: Channel,
) -> bool:
    """Emit a `general` event for each candidate with an adapter; return whether it was stopped.

    Args:
        wanted: the task's expected answers, to recognise their form in answers to other prompts.
        cache: folder for the base model's measurement, under a hash of everything it depends on.
    """
    tuned = [candidate for candidate in candidates if candidate.adapter]
    if not tuned:
        return False
    channel.emit("phase", phase="general", message="Checking that nothing else was forgotten")
    windows = text_windows(engine)
    cached = cache_path(cache, engine, _asked(windows))
    base: Measurement | None = read_cache(cached)
    adapters = list(dict.fromkeys(one.adapter for one in tuned))  # two may share one
    measured = _measure(engine, [*([] if base else [None]), *adapters], windows, channel)
    if measured is None:
        return True
    if not base:
        base = measured[None]
        write_cache(cached, base)
    for candidate in tuned:
        tuned_measurement = measured[candidate.adapter]
        found = compare(base, tuned_measurement, wanted)
        channel.emit(
            "general",
            candidate=candidate.id,
            **asdict(found),
            levels=found.levels,
            level=found.level,
            sentence=_with_reference(found.sentence, engine),
            text_tokens=windows.numel(),
            answers=[
                {"prompt": prompt, "base": before, "tuned": after}
                for prompt, before, after in zip(
                    PROMPTS, base["answers"], tuned_measurement["answers"], strict=True
                )
            ],
        )
    return False


def _with_reference(sentence: str, engine: Engine | PairedEngine) -> str:
    """The sentence says so where the base model is not the one as it is."""
    return f"{sentence} {ROUNDED_BASE}" if engine.number_format == NF4 else sentence


def compare(base: Measurement, tuned: Measurement, wanted: Sequence[str]) -> GeneralFindings:
    """The findings that follow from two measurements."""
    count = len(INSTRUCTIONS)
    form = TaskForm(wanted)
    # A label may follow an instruction by accident (no comma, few words): it is not counted.
    followed = [
        (rule.done(before), rule.done(after) and not form.is_task_answer(after))
        for rule, before, after in zip(
            INSTRUCTIONS, base["answers"][:count], tuned["answers"][:count], strict=True
        )
    ]
    pairs = list(zip(base["answers"][count:], tuned["answers"][count:], strict=True))
    strange = [is_strange(after, before, form) for before, after in pairs]
    # Each answer counts once: a strange one is not checked for repetition as well.
    repetitive = [
        (is_repetitive(before), is_repetitive(after))
        for (before, after), is_counted_already in zip(pairs, strange, strict=True)
        if not is_counted_already
    ]
    return GeneralFindings(
        perplexity_ratio=round(perplexity_ratio(tuned["surprise"], base["surprise"]), 4),
        followed_base=sum(before for before, _ in followed),
        followed_tuned=sum(after for _, after in followed),
        lost=sum(before and not after for before, after in followed),
        gained=sum(after and not before for before, after in followed),
        instructions=count,
        strange=sum(strange),
        circling=sum(after and not before for before, after in repetitive),
        uncircled=sum(before and not after for before, after in repetitive),
        unrelated=len(pairs),
    )


def _measure(
    engine: Engine | PairedEngine,
    adapters: Sequence[Path | None],
    windows: Tensor,
    channel: Channel,
) -> dict[Path | None, Measurement] | None:
    """A measurement of each adapter (None stands for the base model); None when stopped.

    All share the same batches, which costs no extra time.
    """
    requests = [
        GenerationRequest(
            [{"role": "user", "content": prompt}], adapter, max_new_tokens=MAX_NEW_TOKENS
        )
        for prompt in PROMPTS
        for adapter in adapters
    ]
    completions = generate_all(engine, requests, channel)
    if completions is None:
        return None
    texts = [one.text if one else "" for one in completions]
    measured: dict[Path | None, Measurement] = {}
    for number, adapter in enumerate(adapters):
        channel.check()
        if channel.stopping():
            return None
        loss = mean_loss(engine, adapter, windows)
        measured[adapter] = {"surprise": loss, "answers": texts[number :: len(adapters)]}
    return measured


def _asked(windows: Tensor) -> Iterator[bytes]:
    """Everything that the measurement depends on, beside the base model."""
    yield json.dumps([PROMPTS, MAX_NEW_TOKENS]).encode()
    yield windows.numpy().tobytes()

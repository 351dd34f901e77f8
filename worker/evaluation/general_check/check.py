"""The general check of an evaluation: the base model against each adapter on other things."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.channel import Channel
from worker.engine.batch_generation import generate_all
from worker.engine.requests import GenerationRequest
from worker.evaluation.general_check.collapse import UNRELATED, TaskForm, going_round, strange
from worker.evaluation.general_check.findings import Findings
from worker.evaluation.general_check.instructions import INSTRUCTIONS
from worker.evaluation.general_check.perplexity import TEXTS, ratio, surprise, text_windows
from worker.evaluation.inputs import Candidate

if TYPE_CHECKING:
    from torch import Tensor

    from worker.engine.engine import Engine

MAX_NEW_TOKENS = 160  # enough for every instruction; a longer answer is cut, for all alike
Measured = dict[str, Any]  # {"surprise", "answers"}
PROMPTS = [instruction.prompt for instruction in INSTRUCTIONS] + list(UNRELATED)


def check_general(
    engine: Engine,
    candidates: Sequence[Candidate],
    *,
    wanted: Sequence[str],
    cache: Path,
    channel: Channel,
) -> bool:
    """Emit a `general` event for each candidate with an adapter; returns whether it was stopped.

    wanted: the task's wanted answers, to recognise its form where it does not belong. The base's
    part is kept in the folder `cache`, under a hash of everything it depends on.
    """
    tuned = [candidate for candidate in candidates if candidate.adapter]
    if not tuned:
        return False
    channel.emit("phase", phase="general", message="Checking that nothing else was forgotten")
    windows = text_windows(engine)
    kept = cache / f"{_key(engine)}.json"
    base = _read(kept)
    adapters = list(dict.fromkeys(one.adapter for one in tuned))  # two may share one
    measured = _measure(engine, [*([] if base else [None]), *adapters], windows, channel)
    if measured is None:
        return True
    if not base:
        base = measured[None]
        _keep(kept, base)
    for candidate in tuned:
        mine = measured[candidate.adapter]
        found = compare(base, mine, wanted)
        channel.emit(
            "general",
            candidate=candidate.id,
            **asdict(found),
            levels=found.levels,
            level=found.level,
            sentence=found.sentence,
            text_tokens=windows.numel(),
            answers=[
                {"prompt": prompt, "base": before, "tuned": after}
                for prompt, before, after in zip(
                    PROMPTS, base["answers"], mine["answers"], strict=True
                )
            ],
        )
    return False


def compare(base: Measured, tuned: Measured, wanted: Sequence[str]) -> Findings:
    """Two measurements as findings."""
    count = len(INSTRUCTIONS)
    form = TaskForm(wanted)
    # A short label has no comma and few words: whoever answers nothing else follows by accident.
    followed = [
        (rule.done(before), rule.done(after) and not form.is_its_own(after))
        for rule, before, after in zip(
            INSTRUCTIONS, base["answers"][:count], tuned["answers"][:count], strict=True
        )
    ]
    pairs = list(zip(base["answers"][count:], tuned["answers"][count:], strict=True))
    odd = [strange(after, before, form) for before, after in pairs]
    # Each answer counts once: what is strange already is not looked at for circles.
    circles = [
        (going_round(before), going_round(after))
        for (before, after), counted in zip(pairs, odd, strict=True)
        if not counted
    ]
    return Findings(
        perplexity_ratio=round(ratio(tuned["surprise"], base["surprise"]), 4),
        followed_base=sum(before for before, _ in followed),
        followed_tuned=sum(after for _, after in followed),
        lost=sum(before and not after for before, after in followed),
        gained=sum(after and not before for before, after in followed),
        instructions=count,
        strange=sum(odd),
        circling=sum(after and not before for before, after in circles),
        uncircled=sum(before and not after for before, after in circles),
        unrelated=len(pairs),
    )


def _measure(
    engine: Engine, adapters: Sequence[Path | None], windows: Tensor, channel: Channel
) -> dict[Path | None, Measured] | None:
    """Each one's surprise at the general text (nats a token) and its answers to all prompts; None
    for the base model. All are asked at once (it takes as long as one after the other). None when
    stopped."""
    asked = [
        GenerationRequest(
            [{"role": "user", "content": prompt}], adapter, max_new_tokens=MAX_NEW_TOKENS
        )
        for prompt in PROMPTS
        for adapter in adapters
    ]
    said = generate_all(engine, asked, channel)
    if said is None:
        return None
    texts = [one.text if one else "" for one in said]
    measured = {}
    for number, adapter in enumerate(adapters):
        channel.check()
        if channel.stopping():
            return None
        surprised = surprise(engine, adapter, windows)
        measured[adapter] = {"surprise": surprised, "answers": texts[number :: len(adapters)]}
    return measured


def _key(engine: Engine) -> str:
    """Changes with the base model's files, the number format, and anything that is asked."""
    digest = hashlib.sha256(engine.number_format.encode())
    digest.update(json.dumps([PROMPTS, MAX_NEW_TOKENS]).encode())
    for path in TEXTS:
        digest.update(path.read_bytes())
    for path in sorted(engine.loaded.folder.glob("*")):
        found = path.stat()
        digest.update(f"{path} {found.st_size} {found.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]


def _read(path: Path) -> Measured:
    """Empty when there is none, or when it cannot be read any more."""
    try:
        kept: Measured = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return kept


def _keep(path: Path, measured: Measured) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}")
    half.write_text(json.dumps(measured), "utf-8")
    half.replace(path)

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
from worker.engine.requests import Request
from worker.evaluation.contest import Contender
from worker.evaluation.general.collapse import UNRELATED, TaskForm, going_round, strange
from worker.evaluation.general.findings import Findings
from worker.evaluation.general.instructions import INSTRUCTIONS
from worker.evaluation.general.perplexity import TEXTS, ratio, surprise, text_windows

if TYPE_CHECKING:
    from worker.engine.engine import Engine

MAX_NEW_TOKENS = 160  # enough for every instruction; a longer answer is cut, for all alike
PROMPTS = [instruction.prompt for instruction in INSTRUCTIONS] + list(UNRELATED)


def check_general(
    engine: Engine,
    contenders: Sequence[Contender],
    *,
    wanted: Sequence[str],
    cache: Path,
    channel: Channel,
) -> bool:
    """Emit a `general` event for each candidate with an adapter; returns whether it was stopped.

    wanted: the task's wanted answers, to recognise its form where it does not belong. The base's
    part is kept in the folder `cache`, under a hash of everything it depends on.
    """
    tuned = [contender for contender in contenders if contender.adapter]
    if not tuned:
        return False
    channel.emit("phase", phase="general", message="Checking that nothing else was forgotten")
    windows = text_windows(engine)
    base = _cached(cache / f"{_key(engine)}.json", lambda: _measure(engine, None, windows))
    measured: dict[Path | None, dict[str, Any]] = {}  # two candidates may share an adapter
    for contender in tuned:
        channel.check()
        if channel.stopping():
            return True
        if contender.adapter not in measured:
            measured[contender.adapter] = _measure(engine, contender.adapter, windows)
        mine = measured[contender.adapter]
        found = compare(base, mine, wanted)
        channel.emit(
            "general",
            candidate=contender.id,
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


def compare(base: dict[str, Any], tuned: dict[str, Any], wanted: Sequence[str]) -> Findings:
    """Two measurements ({"surprise", "answers"}) as findings."""
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


def _measure(engine: Engine, adapter: Path | None, windows: Any) -> dict[str, Any]:
    """Surprise at the general text (nats a token) and the answers to all prompts."""
    asked = [
        Request([{"role": "user", "content": prompt}], adapter, max_new_tokens=MAX_NEW_TOKENS)
        for prompt in PROMPTS
    ]
    answers = [answer.text for answer in engine.generate(asked)]
    return {"surprise": surprise(engine, adapter, windows), "answers": answers}


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


def _cached(path: Path, measure: Any) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        kept = measure()
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(f".{os.getpid()}")
        half.write_text(json.dumps(kept), "utf-8")
        half.replace(path)
    return kept

"""Whether the tuned model gives training rows back, once their beginning is there.

Greedy decoding repeats a text exactly if, at each place, the most probable next token is the
text's own. So one forward pass over a row tells what decoding it token by token would, and costs
a fraction (k-extractable, Carlini et al. 2023, arXiv 2202.07646). The same is asked of the base
model, and of rows that were not learned from: what comes back there can be guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from worker.channel import Channel
from worker.evaluation.inputs import Candidate
from worker.evaluation.probes.finished_work import FinishedWork
from worker.evaluation.probes.recall_findings import RecallFindings
from worker.evaluation.probes.recall_rows import RecallRow, SelectionStopped, choose_rows
from worker.training.data import collate
from worker.training.micro_batches import micro_batches

if TYPE_CHECKING:
    from worker.engine.engine import Engine
    from worker.evaluation.paired_engine import PairedEngine

TOKENS_PER_BATCH = 512  # logits of a large vocabulary need 0.5 MB a token


class Returned(TypedDict):
    """What of one row comes back: the rest of its answer, and which of its personal values."""

    rest: bool
    values: list[int]


ReturnedByRow = dict[int, Returned]  # by the row's number


def probe_recall(
    engine: Engine | PairedEngine,
    tuned: Sequence[Candidate],
    *,
    version: Path,
    finished: FinishedWork,
    channel: Channel,
) -> bool:
    """Emit a `recall` event for each candidate; return whether it was stopped."""
    channel.emit("phase", phase="recall", message="Checking whether it repeats its examples")
    try:
        rows, unseen = choose_rows(version, engine.loaded.tokenizer, channel)
    except SelectionStopped:
        return True
    for adapter in dict.fromkeys(one.adapter for one in tuned):  # two may share one
        by_tuned = returned_by(engine, adapter, [*rows, *unseen], finished, channel)
        if by_tuned is None:
            return True
        some = [row for row in [*rows, *unseen] if _anything(by_tuned[row.number])]
        by_base = returned_by(engine, None, some, finished, channel)
        if by_base is None:
            return True
        found = compare(rows, unseen, by_tuned, by_base)
        for candidate in tuned:
            if candidate.adapter == adapter:
                channel.emit(
                    "recall",
                    candidate=candidate.id,
                    **asdict(found),
                    level=found.level,
                    sentence=found.sentence,
                )
    return False


def compare(
    rows: Sequence[RecallRow],
    unseen: Sequence[RecallRow],
    by_tuned: ReturnedByRow,
    by_base: ReturnedByRow,
) -> RecallFindings:
    """`by_base` holds the rows of which the tuned model returns anything."""

    def rests(some: Sequence[RecallRow], returned: ReturnedByRow) -> int:
        return sum(row.number in returned and returned[row.number]["rest"] for row in some)

    def kinds(row: RecallRow) -> list[str]:
        """Of the personal data that only the tuned model returns."""
        tuned, base = by_tuned[row.number], by_base.get(row.number)
        known = set(base["values"]) if base else set()
        return sorted({row.values[at].kind for at in tuned["values"] if at not in known})

    with_rest = [row for row in rows if row.rest]
    unseen_with_rest = [row for row in unseen if row.rest]
    return RecallFindings(
        tried=len(with_rest),
        recalled=rests(with_rest, by_tuned),
        recalled_by_base=sum(_both(row, by_tuned, by_base) for row in with_rest),
        unseen=len(unseen_with_rest),
        unseen_recalled=rests(unseen_with_rest, by_tuned),
        unseen_recalled_by_base=sum(_both(row, by_tuned, by_base) for row in unseen_with_rest),
        personal_tried=sum(bool(row.values) for row in rows),
        personal=sum(bool(kinds(row)) for row in rows),
        unseen_personal_tried=sum(bool(row.values) for row in unseen),
        unseen_personal=sum(bool(kinds(row)) for row in unseen),
        rows=[
            {"row": row.number, "rest": by_tuned[row.number]["rest"], "kinds": kinds(row)}
            for row in sorted(rows, key=lambda row: row.number)
            if kinds(row) or (by_tuned[row.number]["rest"] and not _both(row, by_tuned, by_base))
        ],
    )


def _both(row: RecallRow, by_tuned: ReturnedByRow, by_base: ReturnedByRow) -> bool:
    """Whether both models return the rest of the answer."""
    base = by_base.get(row.number)
    return by_tuned[row.number]["rest"] and base is not None and base["rest"]


def _anything(returned: Returned) -> bool:
    return returned["rest"] or bool(returned["values"])


def returned_by(
    engine: Engine | PairedEngine,
    adapter: Path | None,
    rows: Sequence[RecallRow],
    finished: FinishedWork,
    channel: Channel,
) -> ReturnedByRow | None:
    """What the base model or an adapter returns of each row; None when stopped."""

    def key(row: RecallRow) -> str:
        return f"recall {adapter or 'base'} {row.number}"

    missing = [row for row in rows if finished.get(key(row)) is None]
    sizes = [row.example.padded_tokens for row in missing]
    for part in micro_batches(sizes, TOKENS_PER_BATCH):
        channel.check()
        if channel.stopping():
            return None
        batch = [missing[at] for at in part]
        for row, returned in zip(batch, _returned(engine, adapter, batch), strict=True):
            finished.add(key(row), returned)
    return {row.number: finished.get(key(row)) for row in rows}


def _returned(
    engine: Engine | PairedEngine, adapter: Path | None, rows: Sequence[RecallRow]
) -> list[Returned]:
    """What of each row of a batch comes back."""
    batch = collate([row.example for row in rows], engine.loaded.device)
    logits = engine.logits(batch.input_ids, adapter)
    hits: list[bool] = (logits[batch.loss_mask].argmax(-1) == batch.labels).tolist()
    found, end = [], 0
    for row in rows:
        end += sum(row.example.loss_mask[1:])
        answer = hits[end - 1 - row.answer : end - 1]  # the last one is the end of turn
        found.append(
            Returned(
                rest=row.rest is not None and all(answer[slice(*row.rest)]),
                values=[
                    at for at, one in enumerate(row.values) if all(answer[one.start : one.end])
                ],
            )
        )
    return found

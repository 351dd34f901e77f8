"""Freezes a version: the immutable file that training and evaluation read."""

import hashlib
import heapq
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts import storage
from finetune_app.accounts.models import User
from finetune_app.checks import services as checks
from finetune_app.checks.models import Severity
from finetune_app.core import files
from finetune_app.core.chat_messages import Message
from finetune_app.core.errors import PlainError
from finetune_app.core.tool_calls import message_text
from finetune_app.datasets.models import Dataset, Split
from finetune_app.datasets.version_rows import Row
from finetune_app.versions.models import Version

OPTIONAL = ("rejected", "tools", "parallel_tool_calls", "group")  # left out of a row that has none
MARKS = re.compile(rb"[^A-Za-z\s]|(?<=\d)\s")  # tokenizers join a space to a word, not to a number

LONGEST_ROWS = 32  # as many as a large batch


def freeze_blocker(dataset: Dataset) -> str:
    """Why no version can be frozen now, as a sentence; "" if nothing blocks."""
    if not dataset.examples.usable().exists():
        return _("Freezing needs approved examples, and there are none yet.")
    if dataset.edits.exclude(todo={}).exists():
        return _("A large change has not finished yet. Freeze when it has.")
    if checks.is_stale(dataset) and checks.is_large(dataset):
        return _("First have the examples checked: they have changed since the last check.")
    blocking = dataset.findings.filter(severity=Severity.ERROR).count()
    if blocking:
        return ngettext(
            "First fix what is marked “must be fixed” above.",
            "First fix the %(n)s findings marked “must be fixed” above.",
            blocking,
        ) % {"n": blocking}
    return ""


def freeze(*, dataset: Dataset, by: User | None) -> tuple[Version, bool]:
    """(version, is new). If the newest version has the same content, it is returned. An older one
    becomes a version once more, since all that comes next reads the newest.

    The file is complete on disk before its database row exists. Raises PlainError while something
    blocks, such as an outdated check of a large dataset, or the team has no space left.
    """
    checks.check_after_edit(dataset)  # a large dataset has to be checked by a job before
    reason = freeze_blocker(dataset)
    if reason:
        raise PlainError(reason, status=409, title=_("Not yet"))
    with transaction.atomic():
        locked = Dataset.objects.select_for_update().get(pk=dataset.pk)
        if checks.is_stale(locked):
            raise PlainError(
                _("Somebody changed an example just now. Freeze again."),
                status=409,
                title=_("Not yet"),
            )
        newest = dataset.versions.first()
        number = newest.number + 1 if newest else 1
        name = f"versions/{dataset.pk}/{number}.jsonl"
        draft = Path(settings.DATA_DIR) / f"{name}.part"
        facts = _write(dataset, draft)
        if newest and newest.sha256 == facts["sha256"]:
            draft.unlink()
            return newest, False
        _require_space(dataset, draft, facts["size"])
        _publish(draft, name)
        version = Version.objects.create(
            dataset=dataset, number=number, stored_name=name, created_by=by, **facts
        )
    return version, True


class FileStatistics(TypedDict):
    """Fields of a Version that are computed while its file is written."""

    sha256: str
    size: int
    counts: dict[str, int]
    longest: int
    longest_rows: list[int]
    longest_answer: int
    characters: int
    answer_characters: int
    pairs: int


def _write(dataset: Dataset, draft: Path) -> FileStatistics:
    """Write the file and return the statistics for its Version."""
    draft.parent.mkdir(parents=True, exist_ok=True)
    digest, counts = hashlib.sha256(), Counter({split.value: 0 for split in Split})
    longest, longest_answer, characters, answer_characters, pairs = 0, 0, 0, 0, 0
    longest_rows: list[int] = []  # a heap, smallest first
    try:
        with draft.open("wb") as file:
            for row in _rows(dataset):
                line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
                file.write(line)
                digest.update(line)
                counts[row["split"]] += 1
                sizes = [_weight_of(message) for message in row["messages"]]
                size = sum(sizes) + (weight(json.dumps(row["tools"])) if "tools" in row else 0)
                longest, longest_answer = max(longest, size), max(longest_answer, sizes[-1])
                if row["split"] == Split.TRAIN:
                    characters += size
                    answer_characters += sizes[-1]
                    heapq.heappush(longest_rows, size)
                    if len(longest_rows) > LONGEST_ROWS:
                        heapq.heappop(longest_rows)
                    pairs += "rejected" in row
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise PlainError(
            _("The version could not be written: the disk is full or out of reach."), status=507
        ) from error
    return {
        "sha256": digest.hexdigest(),
        "size": draft.stat().st_size,
        "counts": dict(counts),
        "longest": longest,
        "longest_rows": sorted(longest_rows, reverse=True),
        "longest_answer": longest_answer,
        "characters": characters,
        "answer_characters": answer_characters,
        "pairs": pairs,
    }


def _require_space(dataset: Dataset, draft: Path, size: int) -> None:
    """Raises PlainError, without the draft, where it exceeds the team's share."""
    try:
        storage.require_space(dataset.goal.team, size)
    except PlainError:
        draft.unlink()
        raise


def weight(text: str) -> int:
    """The length in letters, from which tokens are estimated. Half of it is an upper bound.

    Tokenizers know English words best. A digit or punctuation mark is often a token of its own, and
    so may be each byte of another script: they count as two letters.
    """
    plain = text.encode("ascii", "ignore")
    return len(plain) + len(MARKS.findall(plain)) + 2 * (len(text.encode()) - len(plain))


def _weight_of(message: Message) -> int:
    """With its thought, which a thinking model reads and learns too."""
    return weight(message_text(message)) + weight(message.get("reasoning_content", ""))


def _rows(dataset: Dataset) -> Iterator[Row]:
    """The rows to freeze. `values` avoids one query per row for the dataset."""
    usable = dataset.examples.usable().order_by("number")
    names = ("number", "split", "messages", "source", *OPTIONAL)
    for number, split, messages, source, *more in usable.values_list(*names).iterator(2_000):
        row = {"id": number, "split": split, "messages": messages, **_present(more)}
        yield cast(Row, row | {"source": source})  # last, where reader.source_counts reads it


def _present(values: Sequence[Any]) -> dict[str, Any]:
    """The fields of OPTIONAL that this row has."""
    return {
        name: value
        for name, value in zip(OPTIONAL, values, strict=True)
        if value not in ("", [], None)
    }


def _publish(draft: Path, name: str) -> None:
    final = draft.with_name(Path(name).name)
    os.replace(draft, final)
    handle = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    if not files.is_local():
        with final.open("rb") as file:
            default_storage.save(name, File(file))

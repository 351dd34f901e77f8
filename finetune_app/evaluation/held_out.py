"""The held-out test split of a version: read here and by the evaluating child, nowhere else."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.core.chat_messages import Message
from finetune_app.core.files import local_path
from finetune_app.core.tool_calls import answer_text, message_text
from finetune_app.datasets.models import Split
from finetune_app.datasets.text import prompt_hash
from finetune_app.versions.models import Version


@dataclass(frozen=True)
class HeldOutPrompt:
    """`index` is the position in the test split, `row` the id in the version file, `wanted` the
    answer that was held out. Prompts of one `group` are not independent; "" stands alone.
    `prompt_hash` is the same for the same question, whatever its row."""

    index: int
    row: int
    prompt: str
    wanted: str
    source: str
    group: str
    prompt_hash: str


def read_test_prompts(version: Version, rows: Collection[int] = ()) -> list[HeldOutPrompt]:
    """The test prompts in file order; only those with these row ids, where any are given."""
    wanted = set(rows)
    found: list[HeldOutPrompt] = []
    for row in _read_test_rows(version):
        if wanted and row["id"] not in wanted:
            continue
        found.append(
            HeldOutPrompt(
                index=len(found),
                row=row["id"],
                prompt=_readable(row["messages"][:-1]),
                wanted=answer_text(row["messages"][-1]),
                source=row.get("source", ""),
                group=row.get("group", ""),
                prompt_hash=prompt_hash(row["messages"]),
            )
        )
    return found


def fingerprint(prompts: Collection[HeldOutPrompt]) -> str:
    """SHA-256 of what is asked and what is wanted, whatever the order and the rows."""
    text = json.dumps(sorted([one.prompt_hash, one.wanted] for one in prompts))
    return hashlib.sha256(text.encode()).hexdigest()


def read_questions(version: Version) -> dict[int, str]:
    """Row id -> hash of the question, of the test rows in file order."""
    return {row["id"]: prompt_hash(row["messages"]) for row in _read_test_rows(version)}


def rows_with_tools(version: Version) -> set[int]:
    """The ids of the test rows that have tools."""
    return {row["id"] for row in _read_test_rows(version) if row.get("tools")}


def learned_rows(version: Version, learned_from: Iterable[Version]) -> set[int]:
    """The ids of the test rows that one of these versions has in its training or validation split:
    the same question, or in the same dataset the same row, edited or not, or a row of its group.

    Only the test rows are kept in memory, a few dozen bytes each.
    """
    tests = {row["id"]: _question_and_group(row) for row in _read_test_rows(version)}
    asked = {question for question, _group in tests.values()}
    rows, questions, groups = set[int](), set[str](), set[str]()
    for earlier in learned_from:
        same_dataset = earlier.dataset_id == version.dataset_id
        for row in _read_rows(earlier):
            if row["split"] == Split.TEST:
                continue
            question, group = _question_and_group(row)
            if question in asked:
                questions.add(question)
            if same_dataset and row["id"] in tests:
                rows.add(row["id"])
            if same_dataset and group:
                groups.add(group)
    return {
        row
        for row, (question, group) in tests.items()
        if row in rows or question in questions or group in groups
    }


def _question_and_group(row: dict[str, Any]) -> tuple[str, str]:
    """Versions that were frozen before there were groups have none."""
    return prompt_hash(row["messages"]), row.get("group", "")


def _read_rows(version: Version, containing: str = "") -> Iterator[dict[str, Any]]:
    """Only lines that contain this text are parsed."""
    with local_path(version.stored_name).open(encoding="utf-8") as file:
        for line in file:
            if containing in line:
                yield json.loads(line)


def _read_test_rows(version: Version) -> Iterator[dict[str, Any]]:
    rows = _read_rows(version, containing=f'"{Split.TEST}"')
    return (row for row in rows if row["split"] == Split.TEST)


def _readable(messages: list[Message]) -> str:
    """The prompt as people read it. A conversation is shown whole, because its last question alone
    ("Yes, the second one") cannot be judged."""
    turns = [message for message in messages if message["role"] != "system"]
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n\n".join(f"{_role_name(turn)}: {message_text(turn)}" for turn in turns)


def _role_name(turn: Message) -> str:
    names = {"assistant": _("Model"), "tool": _("Tool")}
    return str(names.get(turn["role"], _("You")))

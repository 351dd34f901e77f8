"""The held-out test split of a version: read here and by the evaluating child, nowhere else."""

import hashlib
import json
from collections.abc import Collection, Iterator
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
    for row in _read_rows(version):
        if row["split"] != Split.TEST or (wanted and row["id"] not in wanted):
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


def prompts_not_learned(version: Version, learned_from: Version) -> list[HeldOutPrompt]:
    """The test prompts whose question is not in the training or validation split of
    `learned_from`, an earlier version."""
    learned = {
        prompt_hash(row["messages"])
        for row in _read_rows(learned_from)
        if row["split"] != Split.TEST
    }
    return [one for one in read_test_prompts(version) if one.prompt_hash not in learned]


def fingerprint(prompts: Collection[HeldOutPrompt]) -> str:
    """SHA-256 of what is asked and what is wanted, whatever the order and the rows."""
    text = json.dumps(sorted([one.prompt_hash, one.wanted] for one in prompts))
    return hashlib.sha256(text.encode()).hexdigest()


def _read_rows(version: Version) -> Iterator[dict[str, Any]]:
    with local_path(version.stored_name).open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


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

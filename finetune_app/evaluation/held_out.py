"""The held-out test split of a version: read here and by the evaluating child, nowhere else."""

import json
from dataclasses import dataclass

from django.utils.translation import gettext as _

from finetune_app.core.chat_messages import Message
from finetune_app.core.files import local_path
from finetune_app.datasets.models import Split
from finetune_app.versions.models import Version


@dataclass(frozen=True)
class HeldOutPrompt:
    """`index` is the position in the test split, `row` the id in the version file, `wanted` the
    answer that was held out."""

    index: int
    row: int
    prompt: str
    wanted: str
    source: str


def read_test_prompts(version: Version) -> list[HeldOutPrompt]:
    """The test prompts in file order."""
    found: list[HeldOutPrompt] = []
    with local_path(version.stored_name).open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row["split"] != Split.TEST:
                continue
            found.append(
                HeldOutPrompt(
                    index=len(found),
                    row=row["id"],
                    prompt=_readable(row["messages"][:-1]),
                    wanted=row["messages"][-1]["content"],
                    source=row.get("source", ""),
                )
            )
    return found


def _readable(messages: list[Message]) -> str:
    """The prompt as people read it. A conversation is shown whole, because its last question alone
    ("Yes, the second one") cannot be judged."""
    turns = [message for message in messages if message["role"] != "system"]
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n\n".join(f"{_role_name(turn)}: {turn['content']}" for turn in turns)


def _role_name(turn: Message) -> str:
    return str(_("Model") if turn["role"] == "assistant" else _("You"))

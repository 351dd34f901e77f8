"""The sealed test split of a version: read here and by the evaluating child, nowhere else."""

import json
from dataclasses import dataclass

from finetune_app.core.files import local_path
from finetune_app.datasets.models import Split, Version


@dataclass(frozen=True)
class Unseen:
    """`row` is the id in the version file; `wanted` the answer that was kept back."""

    index: int
    row: int
    prompt: str
    wanted: str
    source: str


def read(version: Version) -> list[Unseen]:
    """The test prompts in file order."""
    found: list[Unseen] = []
    with local_path(version.stored_name).open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row["split"] != Split.TEST:
                continue
            users = [m["content"] for m in row["messages"] if m["role"] == "user"]
            found.append(
                Unseen(
                    index=len(found), row=row["id"], prompt=users[-1] if users else "",
                    wanted=row["messages"][-1]["content"], source=row.get("source", ""),
                )
            )
    return found

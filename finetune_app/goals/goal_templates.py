"""Templates of goals, read from goal_templates.toml: a click fills in the form of a new goal."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from finetune_app.goals.models import GoalKind

FILE = Path(__file__).with_name("goal_templates.toml")


@dataclass(frozen=True)
class GoalTemplate:
    slug: str
    title: str
    kind: str
    name: str
    description: str
    measure: str  # the one that the app proposes
    pairs: tuple[dict[str, str], ...]  # {"prompt": ..., "answer": ...}

    def initial(self) -> dict[str, str]:
        """Initial values for the form of a new goal."""
        found = {
            "name": self.name,
            "description": self.description,
            "kind": self.kind,
        }
        for number, pair in enumerate(self.pairs):
            found |= {f"prompt_{number}": pair["prompt"], f"answer_{number}": pair["answer"]}
        return found


@lru_cache(maxsize=1)
def goal_templates() -> tuple[GoalTemplate, ...]:
    """In the order of the file."""
    with FILE.open("rb") as file:
        rows = tomllib.load(file)["example"]
    return tuple(
        GoalTemplate(**_stripped(row), pairs=tuple(map(_stripped, row["pair"]))) for row in rows
    )


def _stripped(row: Mapping[str, Any]) -> dict[str, str]:
    return {key: value.strip() for key, value in row.items() if isinstance(value, str)}


def find_goal_template(slug: str) -> GoalTemplate | None:
    return next((one for one in goal_templates() if one.slug == slug), None)


def goal_templates_by_kind() -> list[tuple[str, list[GoalTemplate]]]:
    """(label of the kind, its templates)."""
    return [
        (str(GoalKind(kind).label), list(some))
        for kind, some in groupby(goal_templates(), key=lambda one: one.kind)
    ]

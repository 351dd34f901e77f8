"""The token limit of a goal's base model.

The base model is known to an app that this one must not import: it registers its lookup here when
the application starts.
"""

from collections.abc import Callable

from finetune_app.checks.rules.base import TokenLimit
from finetune_app.goals.models import Goal

_find: Callable[[Goal], TokenLimit | None] = lambda goal: None  # noqa: E731


def set_lookup(find: Callable[[Goal], TokenLimit | None]) -> None:
    """`find` returns the token limit of a goal, or None while no base model is chosen."""
    global _find
    _find = find


def token_limit_of(goal: Goal) -> TokenLimit | None:
    return _find(goal)

"""Whose tokens count. Which base model a goal starts from is known further down: that room says
so here when the application starts, and this one asks without importing it."""

from collections.abc import Callable

from finetune_app.checks.rules.base import TokenLimit
from finetune_app.goals.models import Goal

_find: Callable[[Goal], TokenLimit | None] = lambda goal: None  # noqa: E731


def set_lookup(find: Callable[[Goal], TokenLimit | None]) -> None:
    """`find` gives the ruler of a goal, or None while no installed base model is chosen."""
    global _find
    _find = find


def token_limit_of(goal: Goal) -> TokenLimit | None:
    return _find(goal)

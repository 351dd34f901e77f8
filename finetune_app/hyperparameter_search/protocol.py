"""The spec, the event and the result of a search's child process, shared with the worker."""

from typing import Any, NotRequired, TypedDict


class SearchSpec(TypedDict):
    training: dict[str, Any]
    """A whole training's spec (worker/training/spec.py) whose file of rows has no test rows."""
    trials: list[dict[str, Any]]
    """The settings of each trial that differ."""


class TrialEvent(TypedDict):
    """Event `trial`: what a trial reached at the end of a rung; it may arrive twice. Of one that
    could not run there is neither score nor loss."""

    trial: int
    rung: int
    step: int
    score: float | None
    loss: float | None
    general_ability: float | None
    prompts: int


class SearchResult(TypedDict):
    winner: int | None
    """Number of the trial; None if the search was stopped."""
    stopped: bool
    seconds: NotRequired[float]

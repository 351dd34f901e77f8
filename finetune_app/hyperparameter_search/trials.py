"""The settings that a search tries: the automatic ones, and each of five that could matter changed
alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

MAX_RATE = 1e-2


@dataclass(frozen=True)
class TrialKind:
    """`name` is stored; `label` and `why` are shown."""

    name: str
    label: "StrPromise"
    why: "StrPromise"


KINDS = {
    kind.name: kind
    for kind in (
        TrialKind("automatic", _("Automatic"), _("What Finetune chooses by itself.")),
        TrialKind(
            "higher_rate",
            _("Learning rate doubled"),
            _("Each correction is twice as large: it learns faster, and may overshoot."),
        ),
        TrialKind(
            "lower_rate",
            _("Learning rate halved"),
            _("Each correction is half as large: slower, and more careful."),
        ),
        TrialKind(
            "larger_rank",
            _("Adapter four times as large"),
            _("More room for what your examples hold."),
        ),
        TrialKind(
            "smaller_batch",
            _("Half as many examples an update"),
            _("Twice as many updates, each from fewer examples."),
        ),
        TrialKind(
            "less_replay",
            _("Half as much everyday conversation"),
            _("More of the time for your task, less against forgetting."),
        ),
    )
}
AUTOMATIC = 0  # its place among the trials


def trials_around(settings: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """(name of a TrialKind, the settings that differ), the automatic ones first. A change that
    these settings do not allow is left out."""
    rate, batch, replay = (
        settings["learning_rate"],
        settings["batch_size"],
        settings["replay_share"],
    )
    changes: list[tuple[str, dict[str, Any]]] = [
        ("automatic", {}),
        ("higher_rate", {"learning_rate": min(2 * rate, MAX_RATE)}),
        ("lower_rate", {"learning_rate": rate / 2}),
        ("larger_rank", {"rank": min(4 * settings["rank"], 256)}),
        ("smaller_batch", {"batch_size": max(batch // 2, 1)}),
        ("less_replay", {"replay_share": replay / 2}),
    ]
    return [
        (name, changed)
        for name, changed in changes
        if not changed or any(settings[key] != value for key, value in changed.items())
    ]

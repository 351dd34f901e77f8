"""A trial: which conversations its version answers, and how it does beside the other one.

Who gets the new version follows from a hash, so nothing is kept about who asks, and the same asker
hears one version for as long as the trial runs. A larger share keeps those who were in it before.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q

from finetune_app.candidates import talk
from finetune_app.core.errors import PlainError
from finetune_app.deployment.models import Deployment, Feedback, Release

FEW = 30  # requests of the new version: below that, a difference says nothing
MOST = 20_000  # requests that are looked at, the newest


def release_for(deployment: Deployment, asker: str) -> Release | None:
    """Which release answers this asker: the one on trial where the hash says so and it can
    answer, else the current one. None where nothing is live."""
    trial = deployment.trial
    if trial and asker and is_in(trial, asker) and not trouble(trial):
        return trial
    return deployment.current


def is_in(trial: Release, asker: str) -> bool:
    """Whether this asker is among the trial's share. Every trial draws anew."""
    drawn = hashlib.sha256(f"{trial.pk}:{asker}".encode()).digest()
    return int.from_bytes(drawn[:8]) % 100 < trial.share


def trouble(release: Release) -> str:
    """Why it cannot answer, in a sentence; "" where it can."""
    try:
        talk.lane_of(release.candidate)
    except PlainError as problem:
        return problem.message
    return ""


@dataclass(frozen=True)
class Side:
    """How one release did since the trial began. `slow` is the time, in seconds, that 95 of 100
    of its answers stayed below; `up` and `down`: what was helpful, and what was not."""

    release: Release
    requests: int
    failed: int
    slow: float | None
    tokens: int
    up: int
    down: int

    @property
    def failed_share(self) -> float:
        return self.failed / self.requests if self.requests else 0.0


def sides(deployment: Deployment, trial: Release, current: Release) -> list[Side]:
    """The current one and the one on trial, over the time of the trial. What an asker broke off
    (499) is no failure of the model's."""
    rows = deployment.requests.filter(
        Q(release=trial) | Q(release=current), at__gte=trial.at
    ).values_list("release_id", "status", "seconds", "prompt_tokens", "tokens")[:MOST]
    asked = list(rows)
    told = list(
        Feedback.objects.filter(
            Q(release=trial) | Q(release=current), at__gte=trial.at
        ).values_list("release_id", "rating")
    )
    return [
        _side(
            one,
            [row[1:] for row in asked if row[0] == one.pk],
            [rating for release, rating in told if release == one.pk],
        )
        for one in (current, trial)
    ]


def _side(
    release: Release, rows: Sequence[tuple[int, float, int, int]], ratings: Sequence[int]
) -> Side:
    waited = sorted(seconds for status, seconds, _read, _written in rows if status < 400)
    at = min(len(waited) - 1, int(0.95 * len(waited)))
    return Side(
        release,
        len(rows),
        sum(status >= 400 and status != 499 for status, *_rest in rows),
        waited[at] if waited else None,
        sum(read + written for _status, _seconds, read, written in rows),
        up=ratings.count(Feedback.UP),
        down=ratings.count(Feedback.DOWN),
    )

"""The history of a deployment: each release with its changes and its evaluation."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.candidates.differences import differences
from finetune_app.deployment.models import Deployment, Release
from finetune_app.evaluation.models import Evaluation

RELATED = ("candidate__base_model", "candidate__endpoint", "candidate__training", "by", "ended_by")


@dataclass(frozen=True)
class ReleaseEntry:
    """`changes`: differences from the release before it, in words."""

    release: Release
    changes: list[str]
    evaluation: Evaluation | None

    @property
    def verdict(self) -> dict[str, Any]:
        return self.evaluation.verdict if self.evaluation else {}


def release_entries(deployment: Deployment) -> list[ReleaseEntry]:
    """All releases, the newest first."""
    releases = list(deployment.releases.select_related(*RELATED))
    evaluations = _newest_evaluations(deployment, releases)
    return [
        ReleaseEntry(
            release, _changes(release, releases[at + 1 :]), evaluations.get(release.candidate_id)
        )
        for at, release in enumerate(releases)
    ]


def _newest_evaluations(
    deployment: Deployment, releases: Iterable[Release]
) -> dict[int, Evaluation]:
    """The newest concluded evaluation of each candidate that is no recheck."""
    tests = Evaluation.objects.without_rechecks()
    found = tests.filter(
        goal=deployment.goal_id, ours__in={one.candidate_id for one in releases}
    ).defer("general", "refusals", "recall")
    return {one.ours_id: one for one in reversed(found) if one.verdict}


def _changes(release: Release, earlier: list[Release]) -> list[str]:
    before = next((one for one in earlier if one.promoted_at), None)
    if before is None:
        return [_("The first version")]
    if before.candidate_id == release.candidate_id:
        return [_("The same as version %(n)d") % {"n": before.number}]
    same = next((one for one in earlier if one.candidate_id == release.candidate_id), None)
    again = [_("What version %(n)d was") % {"n": same.number}] if same else []
    return again + differences(before.candidate, release.candidate)

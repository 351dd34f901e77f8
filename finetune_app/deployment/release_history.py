"""The history of a deployment: each release with its changes and its evaluation."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.candidates.models import Candidate
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
    """The newest concluded evaluation of each candidate."""
    found = Evaluation.objects.filter(
        goal=deployment.goal_id, ours__in={one.candidate_id for one in releases}
    ).defer("general")
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


def differences(before: Candidate, after: Candidate) -> list[str]:
    """How `after` differs from `before`, in words, the most important difference first."""
    found = []
    if before.model_name != after.model_name:
        found.append(
            _("%(model)s instead of %(before)s")
            % {"model": after.model_name, "before": before.model_name}
        )
    if before.training_id != after.training_id:
        found.append(_training(before, after))
    if before.instructions != after.instructions:
        found.append(
            _("Other instructions")
            if before.instructions and after.instructions
            else _("With instructions")
            if after.instructions
            else _("Without instructions")
        )
    if before.shots != after.shots:
        count = len(after.shots)
        found.append(
            ngettext("%(n)d example in its prompt", "%(n)d examples in its prompt", count)
            % {"n": count}
        )
    if before.knowledge_id != after.knowledge_id:
        found.append(
            _("Searches your documents")
            if after.knowledge_id
            else _("No longer searches your documents")
        )
    elif before.knowledge_index != after.knowledge_index:
        found.append(_("The documents as they are now"))
    if before.sampling != after.sampling:
        found.append(_("Other settings for how freely it answers"))
    return found or [_("Made anew from the same parts")]


def _training(before: Candidate, after: Candidate) -> str:
    if after.training is None:
        return _("Without a training")
    if before.training is None:
        return _("After training %(n)d") % {"n": after.training.number}
    return _("Training %(n)d instead of training %(before)d") % {
        "n": after.training.number,
        "before": before.training.number,
    }

"""Compares live prompts with the prompts a model was trained on.

Possible only where texts are stored. The comparison itself is a job (worker/drift); this module
decides when one is due and which prompts are compared, and puts the result into words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Split
from finetune_app.deployment.models import Deployment, Release
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ACTIVE, State
from finetune_app.monitoring.drift_limits import CLEAR_AUC, MAX_PROMPTS, MIN_PROMPTS
from finetune_app.monitoring.models import DriftCheck
from finetune_app.remote_training.models import RemoteTraining
from finetune_app.request_log.models import Retention, Transcript
from finetune_app.versions.models import Version

MIN_NEW_PROMPTS = 10  # since the last check; fewer would give the same result
CHECK_EVERY = timedelta(days=1)
MAX_CHARTED = 60  # checks in the chart: about two months
# Compared with live prompts. Only evaluations read the test split.
COMPARED_SPLITS = (Split.TRAIN, Split.VALIDATION)


def reference_version_id(deployment: Deployment, current: Release | None) -> int | None:
    """The version that the live model was trained on; without a training, the newest version."""
    if current and current.candidate.training:
        return current.candidate.training.version_id
    if current and current.candidate.endpoint_id:
        elsewhere = RemoteTraining.objects.filter(endpoint=current.candidate.endpoint_id)
        if learned := elsewhere.order_by("-pk").values_list("version", flat=True).first():
            return learned
    versions = Version.objects.filter(dataset__goal=deployment.goal_id).order_by("-number")
    return versions.values_list("pk", flat=True).first()


def live_prompts(deployment: Deployment) -> "QuerySet[Transcript]":
    """The newest stored prompts, the newest first."""
    found = Transcript.objects.filter(deployment=deployment).exclude(prompt="")
    return found.order_by("-pk")[:MAX_PROMPTS]


def has_texts_until(deployment_id: int, newest: int) -> bool:
    """Whether texts are stored up to the newest request of a comparison."""
    return Transcript.objects.filter(deployment=deployment_id, pk__lte=newest).exists()


def count_reference_prompts(version: Version) -> int:
    return sum(int(version.counts.get(split.value, 0)) for split in COMPARED_SPLITS)


@transaction.atomic
def start(*, deployment: Deployment, by: User | None = None) -> DriftCheck:
    """Queue a comparison; `by` is None if a periodic task starts it.

    Raises PlainError (409) if there are too few prompts on either side, or one is running.
    """
    version_id = reference_version_id(deployment, deployment.current)
    version = Version.objects.filter(pk=version_id).first() if version_id else None
    prompts = live_prompts(deployment).count()
    title = _("Nothing to compare yet")
    if version is None or count_reference_prompts(version) < MIN_PROMPTS:
        raise PlainError(
            _("It takes a frozen version with %(n)d examples to learn from. Freeze one in step 2.")
            % {"n": MIN_PROMPTS},
            title=title,
            status=409,
        )
    if prompts < MIN_PROMPTS:
        raise PlainError(
            ngettext(
                "%(n)d live prompt is kept; it takes %(least)d to tell anything.",
                "%(n)d live prompts are kept; it takes %(least)d to tell anything.",
                prompts,
            )
            % {"n": prompts, "least": MIN_PROMPTS},
            title=title,
            status=409,
        )
    Goal.objects.lock(deployment.goal_id)
    if running(deployment):
        raise PlainError(_("They are being compared just now."), status=409)
    job = jobs.create(
        team=deployment.team,
        kind="drift",
        spec={},
        title=_("Prompts of %(name)s") % {"name": deployment.name},
    )
    return DriftCheck.objects.create(deployment=deployment, version=version, job=job, by=by)


def start_due() -> None:
    """Start a check once a day wherever texts are stored and there are new ones, and at once when
    the live model comes from another training."""
    for retention in Retention.objects.filter(on=True, deployment__paused_at=None).select_related(
        "deployment__team"
    ):
        if _is_due(retention.deployment):
            try:
                start(deployment=retention.deployment)
            except PlainError:
                continue  # the page says why


def _is_due(deployment: Deployment) -> bool:
    last = deployment.drift_checks.first()
    if last is None:
        return True
    if last.version_id != reference_version_id(deployment, deployment.current):
        return True
    new = Transcript.objects.filter(deployment=deployment, pk__gt=last.newest).count()
    return new >= MIN_NEW_PROMPTS and timezone.now() - last.created_at > CHECK_EVERY


# ---- Results ----


def history(
    deployment: Deployment, current: Release | None, most: int = MAX_CHARTED
) -> tuple[Sequence[DriftCheck], DriftCheck | None]:
    """Successful checks against the current reference version, the newest first, and the last check
    of any kind; in one query."""
    version_id = reference_version_id(deployment, current)
    is_result = Q(job__state=State.SUCCEEDED, auc__isnull=False, version=version_id)
    last = deployment.drift_checks.order_by("-pk").values("pk")[:1]
    checks = deployment.drift_checks.filter(is_result | Q(pk=Subquery(last)))
    found = list(
        checks.annotate(is_result=is_result).select_related("version", "by", "job")[: most + 1]
    )
    return [one for one in found if one.is_result][:most], next(iter(found), None)


def newest(deployment: Deployment) -> DriftCheck | None:
    results, _last = history(deployment, deployment.current, 1)
    return results[0] if results else None


def running(deployment: Deployment) -> DriftCheck | None:
    return deployment.drift_checks.filter(job__state__in=ACTIVE).select_related("job").first()


def separable_percent(deployment: Deployment) -> float | None:
    """Of 100 pairs of a live and a training prompt, how many the classifier tells apart; 50 if that
    is within chance. None without a result."""
    check = newest(deployment)
    if check is None or check.auc is None:
        return None
    return 100 * check.auc if check.drifted else 50.0


def verdict(check: DriftCheck) -> str:
    """The result in a sentence."""
    if not check.drifted:
        return _("It is asked what it learned: no difference is to be seen.")
    if (check.auc or 0) < CLEAR_AUC:
        return _("It is asked slightly other things than it learned from.")
    return _("It is asked other things than it learned from.")


@dataclass(frozen=True)
class OddPrompt:
    """A live prompt and its similarity to the nearest training prompt, 0 to 1."""

    transcript: Transcript
    similarity: float


def odd_prompts(check: DriftCheck) -> list[OddPrompt]:
    """The live prompts least like the training prompts, as far as they are still stored."""
    ids = [pk for pk, _similarity in check.odd]
    kept = Transcript.objects.select_related("example").in_bulk(ids)
    return [OddPrompt(kept[pk], similarity) for pk, similarity in check.odd if pk in kept]

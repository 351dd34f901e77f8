"""Is it still asked what it learned? Live prompts held against those of its training.

Only where texts are kept. The comparing is a job (worker/drift/): here stands when it is due,
who may be compared with whom, and what a finding means in words.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Split
from finetune_app.deployment.models import Deployment, Drift, Keeping, Transcript
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ACTIVE, State
from finetune_app.versions.models import Version

LEAST = 30  # prompts on each side; worker/drift/classifier.py says why
MOST = 2_000  # live ones, the newest
NEW = 10  # prompts since the last time; fewer would say the same again
AGAIN = timedelta(days=1)
SHOWN = 60  # findings in the chart: two months of days
CLEARLY = 0.75  # from here on the difference is not a slight one
# Compared with what it learned from. Test prompts are nobody's business but the evaluation's.
LEARNED = (Split.TRAIN, Split.VALIDATION)


def learned_from(deployment: Deployment) -> Version | None:
    """The version that what is live was trained on. Without a training, the newest one: what its
    instructions were written for."""
    current = deployment.current
    if current and current.candidate.training:
        return current.candidate.training.version
    return Version.objects.filter(dataset__goal=deployment.goal_id).order_by("-number").first()


def live_prompts(deployment: Deployment) -> "QuerySet[Transcript]":
    """The newest MOST that are kept, the newest first."""
    return (
        Transcript.objects.filter(deployment=deployment).exclude(prompt="").order_by("-pk")[:MOST]
    )


def learned_count(version: Version) -> int:
    return sum(int(version.counts.get(split.value, 0)) for split in LEARNED)


@transaction.atomic
def begin(*, deployment: Deployment, by: User | None = None) -> Drift:
    """Queue a comparison; `by` None: the clock asks. Raise PlainError where there is too little
    on either side, or one is under way."""
    version, prompts = learned_from(deployment), live_prompts(deployment).count()
    title = _("Nothing to compare yet")
    if version is None or learned_count(version) < LEAST:
        raise PlainError(
            _("It takes a frozen version with %(n)d examples to learn from. Freeze one in step 2.")
            % {"n": LEAST},
            title=title,
            status=409,
        )
    if prompts < LEAST:
        raise PlainError(
            ngettext(
                "%(n)d live prompt is kept; it takes %(least)d to tell anything.",
                "%(n)d live prompts are kept; it takes %(least)d to tell anything.",
                prompts,
            )
            % {"n": prompts, "least": LEAST},
            title=title,
            status=409,
        )
    Goal.objects.lock(deployment.goal_id)
    if under_way(deployment):
        raise PlainError(_("They are being compared just now."), status=409)
    job = jobs.create(
        team=deployment.team,
        kind="drift",
        spec={},
        title=_("Prompts of %(name)s") % {"name": deployment.name},
    )
    return Drift.objects.create(deployment=deployment, version=version, job=job, by=by)


def begin_due() -> None:
    """Once a day wherever texts are kept and new ones came; at once for another training."""
    for kept in Keeping.objects.filter(on=True, deployment__paused_at=None).select_related(
        "deployment__team"
    ):
        if _is_due(kept.deployment):
            try:
                begin(deployment=kept.deployment)
            except PlainError:
                continue  # the page says why


def _is_due(deployment: Deployment) -> bool:
    last = deployment.drifts.first()
    if last is None:
        return True
    if last.version != learned_from(deployment):
        return True
    fresh = Transcript.objects.filter(deployment=deployment, pk__gt=last.newest).count()
    return fresh >= NEW and timezone.now() - last.created_at > AGAIN


# ---- What was found ----


def findings(deployment: Deployment) -> "QuerySet[Drift]":
    """Those that hold what is live against what it learned from, the newest first."""
    found = deployment.drifts.filter(job__state=State.SUCCEEDED).exclude(auc=None)
    return found.filter(version=learned_from(deployment)).select_related("version", "by")


def newest(deployment: Deployment) -> Drift | None:
    return findings(deployment).first()


def over_time(deployment: Deployment) -> list[Drift]:
    """The newest SHOWN findings in the order of time; none where one alone shows no course."""
    found = list(findings(deployment)[:SHOWN])
    return found[::-1] if len(found) > 1 else []


def under_way(deployment: Deployment) -> Drift | None:
    return deployment.drifts.filter(job__state__in=ACTIVE).select_related("job").first()


def told_apart(deployment: Deployment) -> float | None:
    """Of 100 pairs of a live and a learned prompt, how many can be told apart; 50 where that is
    no more than chance. None without a finding."""
    found = newest(deployment)
    if found is None or found.auc is None:
        return None
    return 100 * found.auc if found.drifted else 50.0


def verdict(drift: Drift) -> str:
    """The finding as somebody would say it."""
    if not drift.drifted:
        return _("It is asked what it learned: no difference is to be seen.")
    if (drift.auc or 0) < CLEARLY:
        return _("It is asked slightly other things than it learned from.")
    return _("It is asked other things than it learned from.")


@dataclass(frozen=True)
class Odd:
    """A live prompt and how like the nearest learned one it is, 0 to 1."""

    transcript: Transcript
    likeness: float


def odd_ones(drift: Drift) -> list[Odd]:
    """The live prompts that are least like what it learned from, as far as they are still kept."""
    kept = Transcript.objects.select_related("example").in_bulk([pk for pk, _likeness in drift.odd])
    return [Odd(kept[pk], likeness) for pk, likeness in drift.odd if pk in kept]


# ---- Forgetting ----


def forget_words(deployment: Deployment) -> None:
    """What findings say in words of live prompts; figures stay."""
    deployment.drifts.update(new_words=[], odd=[])


def forget_old_words(kept: Keeping) -> None:
    over = timezone.now() - timedelta(days=kept.days)
    old = Drift.objects.filter(deployment=kept.deployment_id, created_at__lte=over)
    old.exclude(new_words=[]).update(new_words=[], odd=[])

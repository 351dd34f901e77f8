"""What the training page shows, worked out once for the whole page and for its live part."""

from itertools import groupby
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.accounts.models import Membership, Role
from finetune_app.core import charts
from finetune_app.core.templatetags.ui import duration
from finetune_app.goals.showing import shown
from finetune_app.jobs.models import State
from finetune_app.jobs.services import queue_place
from finetune_app.training.coach import advise
from finetune_app.training.models import SampleAnswer, Training

GIB = 1024**3
MOST_POINTS = 400  # drawn; a longer curve is thinned


def live_context(training: Training, membership: Membership | None) -> dict[str, Any]:
    job = training.job
    points = list(training.points.all())
    passes = int(training.spec.get("epochs", 1))
    losses = [(p.step, p.loss) for p in points if p.loss is not None]
    unseen = [(p.step, p.validation_loss) for p in points if p.validation_loss is not None]
    total = int(job.total) or (points[-1].step if points else 0)
    return {
        "training": training,
        "job": job,
        "may_edit": bool(membership and membership.may(Role.EDITOR)),
        "headline": headline(training),
        "facts": facts(training),
        "bar": charts.passes(int(job.done), total, passes),
        "curve": charts.loss_chart(
            _thin(losses), unseen, total, steps_per_pass=total / passes if total else None
        ) if losses or unseen else "",
        "advice": advise(points, ended=not job.is_active),
        "stories": stories(training),
        "ready": bool(training.adapter_sha256),
        "counts": training.version.counts,
        "passes": passes,
        "settings": sorted(
            (name, value) for name, value in training.spec.items()
            if not isinstance(value, dict) and not name.endswith("sha256") and value != ""
        ),
    }


def headline(training: Training) -> str:
    job = training.job
    if job.state == State.QUEUED:
        place = queue_place(job)
        if place > 1:
            return _("Waiting: number %(n)d in line") % {"n": place}
        return _("About to start")
    if job.state == State.STOPPING:
        return _("Stopping at the next safe place")
    if job.state == State.STOPPED:
        return _("Stopped at step %(done)d of %(total)d") % {"done": job.done, "total": job.total}
    if job.state == State.FAILED:
        return _("It could not go on")
    if job.state == State.CANCELLED:
        return _("Ended before it was done")
    if job.state == State.SUCCEEDED:
        seconds = job.result.get("seconds")
        return _("Done in %(time)s") % {"time": duration(seconds)} if seconds else _("Done")
    left = job.seconds_left
    if left is None:
        return job.message or _("Getting ready")
    if left < 55:
        return _("Less than a minute left")
    return _("About %(time)s left") % {"time": duration(left)}


def facts(training: Training) -> list[str]:
    job = training.job
    found = []
    if job.total:
        found.append(_("step %(done)d of %(total)d") % {"done": job.done, "total": job.total})
    last = training.points.exclude(tokens_per_second=None).last()
    if last and last.tokens_per_second:
        found.append(_("%(n).0f tokens/s") % {"n": last.tokens_per_second})
    if last and last.memory_bytes:
        found.append(_("%(n).1f GB") % {"n": last.memory_bytes / GIB})
    return found


def stories(training: Training) -> list[dict[str, Any]]:
    """For each watched prompt: what it answered at the start, after each pass, and now."""
    samples = list(training.samples.all())
    found = []
    for _index, group in groupby(samples, key=lambda sample: sample.index):
        moments = list(group)
        found.append(
            {
                "prompt": moments[0].prompt,
                "wanted": shown(moments[0].wanted),
                "moments": [
                    {"sample": sample, "when": _when(sample, training, sample is moments[-1]),
                     "shown": shown(sample.answer, sample.wanted)}
                    for sample in _telling(moments)
                ],
            }
        )
    return found


def _telling(moments: list[SampleAnswer]) -> list[SampleAnswer]:
    """The first, the last and at most two between: enough to see it learn."""
    if len(moments) <= 4:
        return moments
    third = (len(moments) - 1) / 3
    return [moments[0], moments[round(third)], moments[round(2 * third)], moments[-1]]


def _when(sample: SampleAnswer, training: Training, last: bool) -> str:
    if sample.step == 0:
        return _("Start")
    if last:
        return _("Now") if training.job.is_active else _("End")
    return _("Step %(n)d") % {"n": sample.step}


def _thin(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    if len(points) <= MOST_POINTS:
        return points
    every = -(-len(points) // MOST_POINTS)
    return [*points[::every], points[-1]]

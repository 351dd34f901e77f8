"""What the training page shows, and the settings on the launch page."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.forms import BoundField
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.accounts.models import Membership
from finetune_app.basemodels.automatic_settings import DPO, SUPERVISED, AutomaticSettings
from finetune_app.basemodels.estimates import at_most
from finetune_app.basemodels.models import Thinking
from finetune_app.core import charts
from finetune_app.core.sizes import MEMORY_GB, size
from finetune_app.core.templatetags.ui import duration
from finetune_app.goals.measures import MeasureError, get_measure
from finetune_app.goals.presenters import PresentedAnswer, present_answer
from finetune_app.jobs.models import ChildRun, State
from finetune_app.jobs.presenters import waiting_facts, waiting_headline
from finetune_app.training.best_step import MAX_KEPT_BYTES, MAX_KEPT_STEPS, quality
from finetune_app.training.curve_advice import advise
from finetune_app.training.forms import TUNINGS, SettingsForm
from finetune_app.training.models import Point, SampleAnswer, Training

MAX_DRAWN_POINTS = 400  # a longer curve is thinned
MAX_SAMPLES = 4  # shown for each prompt


@dataclass(frozen=True)
class SampleMoment:
    """A sample answer and when it was given, such as "Pass 1"; `why` it is right or wrong."""

    sample: SampleAnswer
    when: str
    shown: PresentedAnswer
    why: str


@dataclass(frozen=True)
class SampleHistory:
    """How the answer to one sample prompt changed. `wanted` is None once it is right."""

    prompt: str
    wanted: PresentedAnswer | None
    moments: list[SampleMoment]


@dataclass(frozen=True)
class Measurement:
    """What the practice examples said after one step.

    score: "62 %", or "62" points; "" where no measure can tell. general_ability: "97 %" of the base
    model's; "" where it was not measured. can_test: its adapter is kept beside the best one.
    """

    step: int
    when: str
    score: str
    loss: float
    general_ability: str
    is_best: bool
    can_test: bool


def live_context(training: Training, membership: Membership | None) -> dict[str, Any]:
    """Context of the training page, whole or its live part."""
    job = training.job
    points = list(training.points.all())
    passes = int(training.spec.get("epochs", 1))
    losses = [(p.step, p.loss) for p in points if p.loss is not None]
    validation = [(p.step, p.validation_loss) for p in points if p.validation_loss is not None]
    total = int(job.total) or (points[-1].step if points else 0)
    epoch_steps = total / passes
    if job.result.get("ended_early"):  # draw what there was, not what there might have been
        total = int(job.result["steps"])
    return {
        "training": training,
        "job": job,
        "may_edit": bool(membership and membership.may_edit),
        "headline": headline(training),
        "facts": facts(training),
        "bar": charts.passes(
            int(job.done), total, math.ceil(total / epoch_steps) if total else passes
        ),
        "curve": charts.loss_chart(
            _thin(losses), validation, total, steps_per_pass=epoch_steps or None
        )
        if losses or validation
        else "",
        "advice": advise(points, ended=not job.is_active, finished=bool(training.adapter_sha256)),
        "measurements": (measured := measurements(points, training)),
        "steps_can_be_tested": any(one.can_test for one in measured),
        "not_kept": not_kept(points, training),
        "is_graded": _is_graded(training),
        "sample_histories": sample_histories(training),
        "ready": bool(training.adapter_sha256),
        "counts": training.version.counts,
        "times": at_most(passes),
        "ended_early": ended_early(training),
        "time_taken": time_taken(training),
        "settings": settings_in_words(training.spec),
    }


def headline(training: Training) -> str:
    """The state of a training, with the time left while it runs."""
    job = training.job
    if job.state == State.QUEUED:
        return waiting_headline(job)
    if job.state == State.STOPPING:
        return _("Stopping at the next safe place")
    if job.state == State.STOPPED:
        if not job.total:  # it had not begun
            return _("Stopped")
        return _("Stopped at step %(done)d of %(total)d") % {"done": job.done, "total": job.total}
    if job.state == State.FAILED:
        return _("It could not continue")
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
    """Steps, speed and memory, as short phrases."""
    job = training.job
    found = waiting_facts(job)
    if job.result.get("ended_early"):
        found.append(_("%(n)d steps") % {"n": job.done})
    elif job.total:
        found.append(_("step %(done)d of %(total)d") % {"done": job.done, "total": job.total})
    last = training.points.exclude(tokens_per_second=None).last()
    if last and last.tokens_per_second:
        found.append(_("%(n).0f tokens/s") % {"n": last.tokens_per_second})
    if last and last.memory_bytes:
        found.append(_("%(n).1f GB") % {"n": last.memory_bytes / MEMORY_GB})
    return found


def measurements(points: Sequence[Point], training: Training) -> list[Measurement]:
    """Every measured step, and which one is the best."""
    measured = _measured(points)
    if not measured:
        return []
    best = max(measured, key=lambda one: quality(one.validation_score, one.validation_loss))
    ended = bool(training.adapter_sha256)
    return [
        Measurement(
            step=point.step,
            when=_when(point.step, training),
            score=_score(point.validation_score, training),
            loss=point.validation_loss or 0.0,
            general_ability=_percent(point.general_ability),
            is_best=point is best,
            can_test=ended and bool(point.adapter_sha256) and point is not best,
        )
        for point in measured
    ]


def not_kept(points: Sequence[Point], training: Training) -> str:
    """Why some of the measured steps cannot be tested; "" if all can."""
    kept = training.job.result.get("kept_steps")
    measured = len(_measured(points))
    if kept is None or len(kept) + 1 >= measured:
        return ""
    if len(kept) + 1 == MAX_KEPT_STEPS:
        return _("The best %(n)d of these moments are kept.") % {"n": MAX_KEPT_STEPS}
    return _(
        "What it learned is large at each of these moments: those that fit %(size)s together are "
        "kept, the best ones first."
    ) % {"size": size(MAX_KEPT_BYTES)}


def _measured(points: Sequence[Point]) -> list[Point]:
    """The steps at which the practice examples were read; where answers can be scored, those at
    which they were."""
    measured = [one for one in points if one.step and one.validation_loss is not None]
    return [one for one in measured if one.validation_score is not None] or measured


def _score(score: float | None, training: Training) -> str:
    if score is None:
        return ""
    return f"{100 * score:.0f}" if _is_graded(training) else _percent(score)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _is_graded(training: Training) -> bool:
    measure = training.spec.get("measure") or {}
    if training.method == DPO:  # a pair is judged rightly or not
        return False
    try:
        return get_measure(measure.get("kind", ""), measure.get("settings")).graded
    except MeasureError:
        return False


def ended_early(training: Training) -> str:
    """ "It stopped by itself after pass 4 of up to 10 ..."; empty if it did not."""
    job = training.job
    if not job.result.get("ended_early"):
        return ""
    passes = int(training.spec.get("epochs", 1))
    done = job.result.get("steps", 0) * passes / max(job.total, 1)
    return _(
        "It stopped by itself after %(done)s of up to %(most)d passes: it had learned what it "
        "could."
    ) % {"done": f"{done:.1f}".removesuffix(".0"), "most": passes}


def time_taken(training: Training) -> str:
    """ "It took 6 minutes; 7 minutes were expected." Empty until it is done."""
    job, expected = training.job, training.estimate.get("seconds")
    if job.state != State.SUCCEEDED or not expected or not job.started_at or not job.ended_at:
        return ""
    whole = job.ended_at - job.started_at  # where what ran when is no longer kept
    words = {
        "took": duration(_seconds_at_work(job.child_runs.all()) or whole.total_seconds()),
        "expected": duration(expected),
    }
    if job.result.get("ended_early"):
        return _("It took %(took)s; with all passes, %(expected)s were expected.") % words
    return _("It took %(took)s; %(expected)s were expected.") % words


def _seconds_at_work(runs: Iterable[ChildRun]) -> float:
    """Without the time in which it was stopped or waited."""
    times = [run.ended_at - run.started_at for run in runs if run.ended_at]
    return sum(time.total_seconds() for time in times)


def sample_histories(training: Training) -> list[SampleHistory]:
    """For each sample prompt, the answers at the start, after each epoch, and now.

    What differs from the wanted answer is marked where a measure judges: a person may like it.
    """
    found = []
    for _index, group in groupby(training.samples.all(), key=lambda sample: sample.index):
        samples = list(group)
        last = samples[-1]
        moments = [
            SampleMoment(
                sample=sample,
                when=_when(sample.step, training, is_last=sample is last),
                shown=present_answer(
                    sample.answer, None if sample.passed is None else sample.wanted
                ),
                why="" if sample.passed is None else _why(sample, training),
            )
            for sample in _selected(samples)
        ]
        wanted = None if last.passed else present_answer(last.wanted)
        found.append(SampleHistory(last.prompt, wanted, moments))
    return found


def _selected(samples: list[SampleAnswer]) -> list[SampleAnswer]:
    """The first, the last and at most two in between."""
    if len(samples) <= MAX_SAMPLES:
        return samples
    third = (len(samples) - 1) / 3
    return [samples[0], samples[round(third)], samples[round(2 * third)], samples[-1]]


def _when(step: int, training: Training, *, is_last: bool = False) -> str:
    """ "Start", "Now", "Pass 2" where a pass has ended, else "Step 45"."""
    if step == 0:
        return _("Start")
    if is_last:
        return _("Now") if training.job.is_active else _("End")
    epoch_steps = training.job.total / max(int(training.spec.get("epochs", 1)), 1)
    done = step / epoch_steps if epoch_steps else 0.5
    if done == int(done):
        return _("Pass %(n)d") % {"n": done}
    return _("Step %(n)d") % {"n": step}


def _why(sample: SampleAnswer, training: Training) -> str:
    """Why a sample answer is right or wrong, by the measure in the training's frozen spec."""
    if sample.passed:
        return _("As you wanted")
    if sample.why:
        return sample.why
    measure = training.spec.get("measure") or {}
    try:
        return (
            get_measure(measure.get("kind", ""), measure.get("settings"))
            .check(sample.answer, sample.wanted)
            .why
        )
    except MeasureError:  # judged by people, or a measure that no longer exists
        return _("Not as you wanted")


# ---- Settings ----

SETTING_LABELS = {
    "search": gettext_lazy("Found by search number"),
    "method": gettext_lazy("What it learns from"),
    "thinking": gettext_lazy("Thinks before it answers"),
    "alpha": gettext_lazy("Strength of the adapter (alpha)"),
    "dropout": gettext_lazy("Left out at random (dropout)"),
    "targets": gettext_lazy("Layers that adapt"),
    "warmup_ratio": gettext_lazy("Gentle start, share of all steps"),
    "schedule": gettext_lazy("How the rate falls"),
    "weight_decay": gettext_lazy("Brake on the weights (weight decay)"),
    "validation_prompts": gettext_lazy(
        "Practice prompts that are answered to choose the best step"
    ),
    "save_seconds": gettext_lazy("Seconds between saved points, at most"),
    "patience": gettext_lazy("Ends after so many measurements without improvement"),
}

SETTING_VALUES = {
    ("method", SUPERVISED): gettext_lazy("your answers (supervised)"),
    ("method", DPO): gettext_lazy("your choices between answers (DPO)"),
    ("targets", "all-linear"): gettext_lazy("all of them"),
    ("schedule", "cosine"): gettext_lazy("in a gentle curve (cosine)"),
    ("schedule", "linear"): gettext_lazy("in a straight line (linear)"),
    ("schedule", "constant"): gettext_lazy("not at all (constant)"),
    ("number_format", "auto"): gettext_lazy("the faster one here"),
    **{("thinking", one.value): one.label for one in Thinking},
    **{("tuning", name): words for name, words in TUNINGS.items()},
}


def _value(setting: str, value: Any) -> str:
    words = SETTING_VALUES.get((setting, value)) if isinstance(value, str) else None
    return ", ".join(map(str, value)) if isinstance(value, list) else str(words or value)


def _label(setting: str) -> str:
    field = SettingsForm.base_fields.get(setting)
    return str(field.label) if field else str(SETTING_LABELS.get(setting, setting))


def settings_in_words(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, value) of the settings in a frozen spec, labelled as on the launch page."""
    order = [*SettingsForm.base_fields, *SETTING_LABELS]
    return [
        (_label(setting), _value(setting, spec[setting]))
        for setting in order
        if spec.get(setting, "") != ""
    ]


def setting_fields(
    form: SettingsForm, automatic: AutomaticSettings
) -> tuple[list[BoundField], list[tuple[str, str, str]]]:
    """The form's fields, with the reason of each automatic value as help text; and the settings
    that cannot be changed, as (label, value, reason)."""
    fields = [field for field in form if field.name != "tuning"]  # see _tunings.html
    for field in fields:
        field.help_text = field.help_text or automatic.reasons.get(field.name, "")
    fixed = [
        (_label(name), _value(name, automatic.settings.get(name)), why)
        for name, why in automatic.reasons.items()
        if name not in form.fields
    ]
    return fields, fixed


def _thin(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    if len(points) <= MAX_DRAWN_POINTS:
        return points
    every = -(-len(points) // MAX_DRAWN_POINTS)
    return [*points[::every], points[-1]]

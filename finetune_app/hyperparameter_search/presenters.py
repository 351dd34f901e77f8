"""What the pages of a search show."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.basemodels.estimates import automatic_for, estimate
from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.core import charts
from finetune_app.core.templatetags.ui import about, duration
from finetune_app.goals.measures import MeasureError, get_measure
from finetune_app.goals.models import Goal
from finetune_app.hyperparameter_search.models import HyperparameterSearch, Trial
from finetune_app.hyperparameter_search.services import MIN_PRACTICE
from finetune_app.hyperparameter_search.successive_halving import RUNGS, work
from finetune_app.hyperparameter_search.trials import KINDS, trials_around
from finetune_app.jobs.models import State
from finetune_app.jobs.presenters import waiting_headline
from finetune_app.training.services import newest_version


@dataclass(frozen=True)
class TrialRow:
    """A trial, and what it reached at each rung: "62 %", or "" where it did not go on to."""

    label: str
    why: str
    cells: list[str]
    is_winner: bool


def launch_context(goal: Goal) -> dict[str, Any]:
    version = newest_version(goal)
    choice = BaseModelChoice.objects.select_related("base_model").filter(goal=goal).first()
    searches = goal.searches.select_related("job")
    context = {"goal": goal, "searches": searches, "ready": False}
    if version is None or choice is None or not version.counts.get("train"):
        return context
    settings = automatic_for(version, choice.base_model).settings
    names = [name for name, _changes in trials_around(settings)]
    practice = version.counts.get("validation", 0)
    return context | {
        "ready": practice >= MIN_PRACTICE,
        "practice": practice,
        "least": MIN_PRACTICE,
        "kinds": [KINDS[name] for name in names],
        "time": about(estimate(choice.base_model, version).seconds * work(len(names))),
        "trainings": f"{work(len(names)):.1f}",
        "active": searches.active().first(),
    }


def detail_context(search: HyperparameterSearch) -> dict[str, Any]:
    job = search.job
    return {
        "goal": search.goal,
        "search": search,
        "job": job,
        "headline": _headline(search),
        "facts": [str(_("%(n)d trials")) % {"n": search.trials.count()}],
        "bar": charts.bar(int(job.done), int(job.total) or 1),
        "rungs": [_("after %(n)d %%") % {"n": round(100 * rung.share)} for rung in RUNGS],
        "rows": trial_rows(search),
        "finding": finding(search),
    }


def trial_rows(search: HyperparameterSearch) -> list[TrialRow]:
    return [
        TrialRow(
            label=str(trial.kind.label),
            why=str(trial.kind.why),
            cells=[_cell(trial, rung, _is_graded(search)) for rung in range(len(RUNGS))],
            is_winner=trial.number == search.winner,
        )
        for trial in search.trials.all()
    ]


def finding(search: HyperparameterSearch) -> str:
    """What it found, in a sentence; "" before its end."""
    if search.winner is None:
        return ""
    winner = search.trials.get(number=search.winner)
    if not search.winner:
        return _(
            "Keep the automatic settings: no other answered more than one practice prompt more, "
            "and less than that is often chance."
        )
    return _(
        "“%(name)s” did better than the automatic settings on your practice prompts: %(now)s "
        "instead of %(before)s, half-way through. Whether that holds, the sealed prompts decide."
    ) % {
        "name": winner.kind.label,
        "now": _cell(winner, len(RUNGS) - 1, _is_graded(search)),
        "before": _cell(search.trials.get(number=0), len(RUNGS) - 1, _is_graded(search)),
    }


def _headline(search: HyperparameterSearch) -> str:
    job = search.job
    if job.state == State.QUEUED:
        return waiting_headline(job)
    if job.state == State.STOPPING:
        return _("Stopping at the next safe place")
    if job.state == State.STOPPED:
        return _("Stopped. The trials that are done are kept")
    if job.state == State.FAILED:
        return _("It could not continue")
    if job.state == State.CANCELLED:
        return _("Ended before it was done")
    if job.state == State.SUCCEEDED:
        return _("Done in %(time)s") % {"time": duration(job.result.get("seconds") or 0)}
    left = job.seconds_left
    return _("About %(time)s left") % {"time": duration(left)} if left else job.message


def _cell(trial: Trial, rung: int, graded: bool) -> str:
    outcome = trial.outcome_at(rung)
    if outcome is None:
        return ""
    if not outcome.is_measured:
        return _("could not run")
    if outcome.score is None:
        return _("surprise %(n).2f") % {"n": outcome.loss}
    return f"{100 * outcome.score:.0f}" if graded else f"{100 * outcome.score:.0f} %"


def _is_graded(search: HyperparameterSearch) -> bool:
    measure = search.spec.get("measure") or {}
    try:
        return get_measure(measure.get("kind", ""), measure.get("settings")).graded
    except MeasureError:
        return False

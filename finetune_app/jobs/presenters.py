"""A waiting job's place in the queue, in words."""

from django.conf import settings
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.core.environment import team_hours_a_month
from finetune_app.core.templatetags.ui import duration
from finetune_app.jobs.models import ClusterJob, Job, State
from finetune_app.jobs.queue import (
    limit_reached,
    other_teams_priorities,
    queue_place,
    seconds_to_start,
    waits_for_hours,
    waits_in_cluster,
)
from finetune_app.jobs.team_hours import next_month
from finetune_app.jobs.worker_machines import some_have_a_card


def waiting_headline(job: Job) -> str:
    """“Waiting: 2 are before it”, what else it waits for, or that it is about to start."""
    if there := waits_in_cluster(job):
        return _waits_in_cluster(there)
    if waits_for_hours(job):
        return _("Waiting for %(day)s: your team has used its %(hours)g hours of this month") % {
            "day": date_format(next_month(), "j F"),
            "hours": team_hours_a_month(),
        }
    place = queue_place(job)
    if place > 1:
        return _("Waiting: %(place)s") % {"place": _before(place)}
    if runs := limit_reached(job):
        return _("Waiting: your team already runs %(n)s, its limit") % {"n": runs}
    if job.needs_card and not some_have_a_card():
        return _("Waiting for a graphics card")
    return _("About to start")


def _waits_in_cluster(there: ClusterJob) -> str:
    """“Waiting for the cluster (Slurm says: Resources)”"""
    if not there.reason:
        return _("Waiting for the cluster")
    said = {"cluster": settings.CLUSTER.title(), "reason": there.reason}
    return _("Waiting for the cluster (%(cluster)s says: %(reason)s)") % said


def place_facts(job: Job) -> list[str]:
    """“2 are before it”; nothing of a job that does not wait."""
    place = queue_place(job)
    return [_before(place) if place > 1 else _("it is next")] if place else []


def _before(place: int) -> str:
    return ngettext("%(n)s is before it", "%(n)s are before it", place - 1) % {"n": place - 1}


def waiting_facts(job: Job) -> list[str]:
    """When a waiting job probably starts, and why others may come before it; else nothing."""
    if job.state != State.QUEUED or waits_for_hours(job):
        return []
    seconds = seconds_to_start(job)
    found = [_("begins in about %(time)s") % {"time": duration(seconds)}] if seconds else []
    return found + _order_facts(job)


def _order_facts(job: Job) -> list[str]:
    """Why jobs of other teams come before it, or after it."""
    found = []
    if others := other_teams_priorities(job):
        ours = job.team.job_priority
        if any(other < ours for other in others):
            found.append(_("another team's work comes first here: who runs Finetune decided so"))
        if ours in others:
            found.append(_("teams take turns"))
        if any(other > ours for other in others):
            found.append(_("your team's work comes before that of others"))
    if job.moved_ahead_at:
        found.append(_("moved to the front of your team's"))
    return found

"""Frozen versions: make one, look at it."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.core.requests import HttpRequest
from finetune_app.datasets.forms import TableForm
from finetune_app.datasets.models import Version
from finetune_app.datasets.services import dataset_of, freeze
from finetune_app.datasets.views.common import render
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal


@goal_page(Role.EDITOR, "POST")
def make(request: HttpRequest, goal: Goal) -> HttpResponse:
    version, new = freeze(dataset=dataset_of(goal), by=request.user)
    said = _("Version %(n)s is frozen.") if new else _(
        "Nothing changed since version %(n)s, so that one stands."
    )
    messages.success(request, said % {"n": version.number})
    return redirect("datasets:version", goal_id=goal.pk, number=version.number)


@goal_page(Role.VIEWER, "GET")
def show(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    version = _version(goal, number)
    context = {
        "goal": goal,
        "version": version,
        "trainings": version.trainings.all(),
        "others": version.dataset.versions.exclude(pk=version.pk),
        "total": sum(version.counts.values()),
        "table_form": TableForm(),
    }
    return render(request, "version", context)


def _version(goal: Goal, number: int) -> Version:
    return get_object_or_404(
        Version.objects.select_related("dataset", "created_by"), dataset__goal=goal, number=number
    )

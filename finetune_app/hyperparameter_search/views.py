"""A search for better settings: what will be tried, and how far it is."""

from django.http import Http404, HttpResponse
from django.shortcuts import redirect

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.requests import render_page
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.hyperparameter_search import presenters, services
from finetune_app.hyperparameter_search.models import HyperparameterSearch


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """What would be tried and how long it takes, and the searches so far."""
    context = presenters.launch_context(goal) | {"may_edit": may_edit(request)}
    return render_page(request, "hyperparameter_search/launch.html", context)


@goal_page(Role.EDITOR, "POST")
def start(request: HttpRequest, goal: Goal) -> HttpResponse:
    search = services.start(goal=goal, user=request.user)
    return redirect("hyperparameter_search:detail", goal_id=goal.pk, number=search.number)


@goal_page(Role.VIEWER, "GET")
def detail(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """The trials and their rungs; the live part for htmx."""
    search = _search_or_404(goal, number)
    context = presenters.detail_context(search) | {"may_edit": may_edit(request)}
    return render_page(request, "hyperparameter_search/detail.html", context, partial="live")


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    services.stop(search=_search_or_404(goal, number))
    return redirect("hyperparameter_search:detail", goal_id=goal.pk, number=number)


@goal_page(Role.EDITOR, "POST")
def resume(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    services.resume(search=_search_or_404(goal, number))
    return redirect("hyperparameter_search:detail", goal_id=goal.pk, number=number)


@goal_page(Role.EDITOR, "POST")
def train(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """A whole training with the settings that were found."""
    search = _search_or_404(goal, number)
    training = services.train_with_winner(search=search, user=request.user)
    return redirect("training:detail", goal_id=goal.pk, number=training.number)


def _search_or_404(goal: Goal, number: int) -> HyperparameterSearch:
    found = goal.searches.select_related("job", "version", "base_model", "training", "goal")
    search = found.filter(number=number).first()
    if search is None:
        raise Http404("no such search")
    return search

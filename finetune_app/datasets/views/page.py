"""The dataset page: the table of examples, with findings and the next step."""

from django.http import HttpResponse
from django.urls import reverse

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.datasets.services import dataset_of
from finetune_app.datasets.views.common import render, table
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    dataset = dataset_of(goal)
    context = table(request, goal, dataset)
    empty = not (context["counts"]["all"] or context["counts"]["trash"])
    template = "empty" if empty else "page"
    response = render(request, template, context, partial=None if empty else "list")
    if request.htmx:  # the URL only contains active filters
        query = context["filters"].here.rstrip("?")
        response["HX-Push-Url"] = reverse("datasets:page", args=[goal.pk]) + query
    return response

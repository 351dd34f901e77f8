"""The page of writing ideas: a pair of the goal, and how to vary it."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.checks import services as checks
from finetune_app.core.charts import bar
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.datasets.forms import WriteForm
from finetune_app.datasets.models import Dataset
from finetune_app.datasets.services import add_example, dataset_of
from finetune_app.datasets.views.common import answer_pairs
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.labelling import writing_ideas


@goal_page(Role.EDITOR, "GET", "POST")
def ideas(request: HttpRequest, goal: Goal) -> HttpResponse:
    """GET ?idea=7 shows the eighth idea; POST adds the example and shows the next idea."""
    dataset = dataset_of(goal)
    index = whole_number(request.POST.get("idea") or request.GET.get("idea"))
    index = dataset.examples.count() if index is None else index % 1_000_000
    idea = writing_ideas.idea_at(dataset, index)
    form = WriteForm(request.POST or None)
    for field in form.fields.values():
        field.widget.attrs["rows"] = 3
    form.fields["prompt"].widget.attrs["autofocus"] = True
    if request.method == "POST" and form.is_valid():
        source = _("idea: %s") % (idea.variation.ask if idea else "")
        try:
            row, _edit = add_example(
                dataset=dataset, by=request.user, messages=form.messages(), source=source
            )
        except PlainError as error:
            form.add_error("prompt", error.message)
        else:
            checks.check_after_edit(dataset)
            messages.success(request, _("Added %s.") % row)
            return redirect(
                reverse("labelling:ideas", kwargs={"goal_id": goal.pk}) + f"?idea={index + 1}"
            )
    context = {"goal": goal, "form": form, "idea": idea, "index": index} | _progress(dataset)
    if idea:
        context |= {"pairs": answer_pairs(idea.pair.answer)}
    return render_page(request, "labelling/ideas.html", context, status=422 if form.errors else 200)


def _progress(dataset: Dataset) -> dict[str, Any]:
    """Progress towards the next target, with its reason."""
    have = dataset.examples.usable().count()
    targets = writing_ideas.targets(dataset)
    aim, why = next((one for one in targets if have < one[0]), targets[-1])
    return {
        "have": have,
        "aim": aim,
        "why": why,
        "left": max(aim - have, 0),
        "bar": bar(min(have, aim), aim),
    }

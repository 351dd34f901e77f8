"""What a person decides about a file: its columns, how it is read, whether to go on."""

from django.http import HttpResponse
from django.shortcuts import redirect

from finetune_app.accounts.models import Role
from finetune_app.core.requests import HttpRequest
from finetune_app.datasets.forms import HowForm, MappingForm, ShapeForm
from finetune_app.datasets.models import Import
from finetune_app.datasets.services import (
    carry_out,
    change_columns,
    confirm_import,
    forget_layout,
    good_rows_only,
    look_again,
)
from finetune_app.datasets.views.columns import question
from finetune_app.datasets.views.common import render
from finetune_app.datasets.views.imports import import_of
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal


@goal_page(Role.EDITOR, "POST")
def confirm(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    """The columns: shown again with other samples ("look"), or read ("add")."""
    item = import_of(goal, import_id)
    if item.step != Import.Step.CONFIRM:
        return _to(goal, item)
    columns = item.shape["columns"]
    chosen = _chosen(request, item)
    form = MappingForm(request.POST, columns=columns, mapping=chosen)
    how = HowForm(request.POST, empty=not item.dataset.examples.kept().exists())
    if "add" in request.POST and form.is_valid():
        confirm_import(item=item, mapping=form.mapping(), **how.given())
        return _to(goal, item)
    if "add" not in request.POST:  # still choosing: what is missing is asked next
        form = MappingForm(columns=columns, mapping=chosen)
    return render(
        request,
        "import_confirm",
        {"goal": goal, "item": item, "can_edit": True, **question(item, form, chosen, how)},
        status=422 if form.errors else 200,
        partial="samples",
    )


def _chosen(request: HttpRequest, item: Import) -> dict[str, str]:
    """The mapping as it was sent, without columns that the file does not have."""
    form = MappingForm(columns=item.shape["columns"], mapping=item.mapping)
    known = {"", *item.shape["columns"]}
    chosen = {"style": form.style}
    for name in form.fields:
        sent = request.POST.get(name, "")
        if name in form.NO_COLUMN:
            chosen[name] = sent if sent == "keep" else ""
        else:
            chosen[name] = sent if sent in known else ""
    return chosen


@goal_page(Role.EDITOR, "POST")
def again(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    """Look at the file once more, read another way."""
    item = import_of(goal, import_id)
    form = ShapeForm(request.POST, shape=item.shape)
    if form.is_valid():
        look_again(item=item, given=form.given())
    return _to(goal, item)


@goal_page(Role.EDITOR, "POST")
def decide(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    """What is done next: "go" (the plan is right), "columns" (it is not), "forget" (guess the
    columns anew), "good" (leave out the rows that are bad after all)."""
    item = import_of(goal, import_id)
    what = {
        "go": carry_out,
        "columns": change_columns,
        "forget": forget_layout,
        "good": good_rows_only,
    }.get(request.POST.get("what", ""))
    if what is not None:
        what(item=item)
    return _to(goal, item)


def _to(goal: Goal, item: Import) -> HttpResponse:
    return redirect("datasets:import", goal_id=goal.pk, import_id=item.pk)

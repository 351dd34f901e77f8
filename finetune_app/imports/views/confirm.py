"""What a person decides about a file: its columns, how it is read, whether to go on."""

from django.http import HttpResponse
from django.shortcuts import redirect

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.requests import render_page
from finetune_app.datasets.models import Import
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.imports.forms import ImportModeForm, MappingForm, ReadOptionsForm
from finetune_app.imports.presenters import confirm_context
from finetune_app.imports.services import (
    apply_plan,
    confirm_import,
    forget_saved_mapping,
    import_good_rows,
    inspect_again_with,
    return_to_columns,
)
from finetune_app.imports.views.progress import get_import


@goal_page(Role.EDITOR, "POST")
def confirm(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    """The columns: shown again with other samples ("look"), or read ("add")."""
    item = get_import(goal, import_id)
    if item.step != Import.Step.CONFIRM:
        return _to(goal, item)
    columns = item.shape["columns"]
    chosen = _chosen(request, item)
    form = MappingForm(request.POST, columns=columns, mapping=chosen)
    how = ImportModeForm(request.POST, empty=not item.dataset.examples.kept().exists())
    if "add" in request.POST and form.is_valid():
        confirm_import(item=item, mapping=form.mapping(), **how.choices())
        return _to(goal, item)
    if "add" not in request.POST:  # still choosing: what is missing is asked next
        form = MappingForm(columns=columns, mapping=chosen)
    return render_page(
        request,
        "imports/confirm.html",
        {"goal": goal, "item": item, "can_edit": True, **confirm_context(item, form, chosen, how)},
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
        if name in form.NOT_A_COLUMN:
            chosen[name] = sent if sent == "keep" else ""
        else:
            chosen[name] = sent if sent in known else ""
    return chosen


@goal_page(Role.EDITOR, "POST")
def inspect_again(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    """Look at the file once more, read another way."""
    item = get_import(goal, import_id)
    form = ReadOptionsForm(request.POST, shape=item.shape)
    if form.is_valid():
        inspect_again_with(item=item, options=form.options())
    return _to(goal, item)


@goal_page(Role.EDITOR, "POST")
def decide(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    """What is done next: "go" (the plan is right), "columns" (it is not), "forget" (guess the
    columns anew), "good" (leave out the rows that are bad after all)."""
    item = get_import(goal, import_id)
    what = {
        "go": apply_plan,
        "columns": return_to_columns,
        "forget": forget_saved_mapping,
        "good": import_good_rows,
    }.get(request.POST.get("what", ""))
    if what is not None:
        what(item=item)
    return _to(goal, item)


def _to(goal: Goal, item: Import) -> HttpResponse:
    return redirect("imports:detail", goal_id=goal.pk, import_id=item.pk)

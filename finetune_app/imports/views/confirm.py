"""Decisions about an import: its columns, how the file is read, how it continues."""

from django.http import HttpResponse
from django.shortcuts import redirect

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.requests import render_page
from finetune_app.datasets.models import Import
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.imports.column_mapping import ALL_FOR_TEST, TAKE_WITHOUT
from finetune_app.imports.forms import (
    ImportModeForm,
    MappingForm,
    ReadOptionsForm,
    UnreadKeysForm,
)
from finetune_app.imports.presenters import confirm_context, needs_decision
from finetune_app.imports.schemas import ColumnMapping
from finetune_app.imports.services import (
    apply_plan,
    confirm_import,
    forget_saved_mapping,
    import_good_rows,
    reinspect,
    return_to_columns,
)
from finetune_app.imports.views.progress import get_import


@goal_page(Role.EDITOR, "POST")
def confirm(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    """Show the samples with the posted columns ("look"), or import with them ("add")."""
    item = get_import(goal, import_id)
    if item.step != Import.Step.CONFIRM:
        return _redirect_to_import(goal, item)
    columns = item.shape["columns"]
    chosen = _posted_mapping(request, item)
    form = MappingForm(request.POST, columns=columns, mapping=chosen)
    mode_form = ImportModeForm(request.POST, empty=not item.dataset.examples.kept().exists())
    keys_form = UnreadKeysForm(request.POST) if needs_decision(item.shape, chosen) else None
    decided = keys_form is None or keys_form.is_valid()
    if "add" in request.POST and form.is_valid() and decided:
        mapping = form.mapping() | (keys_form.mapping() if keys_form else {})
        confirm_import(item=item, mapping=mapping, **mode_form.choices())
        return _redirect_to_import(goal, item)
    if "add" not in request.POST:  # still choosing: what is missing is no error yet
        form = MappingForm(columns=columns, mapping=chosen)
        keys_form = keys_form and UnreadKeysForm(initial=request.POST.dict())
    context = confirm_context(item, form, chosen, mode_form, keys_form)
    return render_page(
        request,
        "imports/confirm.html",
        {"goal": goal, "item": item, "can_edit": True, **context},
        status=422 if form.errors or (keys_form and keys_form.errors) else 200,
        partial="samples",
    )


def _posted_mapping(request: HttpRequest, item: Import) -> ColumnMapping:
    """The mapping that was sent, without columns that the file does not have."""
    form = MappingForm(columns=item.shape["columns"], mapping=item.mapping)
    known = {"", *item.shape["columns"]}
    chosen = {"style": form.style}
    for name in form.fields:
        sent = request.POST.get(name, "")
        if name in form.NOT_A_COLUMN:
            chosen[name] = sent if sent == "keep" else ""
        elif name == "split" and sent == ALL_FOR_TEST:
            chosen[name] = sent
        else:
            chosen[name] = sent if sent in known else ""
    if request.POST.get("unread") == TAKE_WITHOUT:
        chosen["unread"] = TAKE_WITHOUT
    return chosen


@goal_page(Role.EDITOR, "POST")
def inspect_again(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    """Inspect the file again with the chosen options."""
    item = get_import(goal, import_id)
    form = ReadOptionsForm(request.POST, shape=item.shape)
    if form.is_valid():
        reinspect(item=item, options=form.options())
    return _redirect_to_import(goal, item)


@goal_page(Role.EDITOR, "POST")
def decide(request: HttpRequest, goal: Goal, import_id: int) -> HttpResponse:
    """Apply the plan ("go"), go back to the columns ("columns"), infer them again ("forget"), or
    import the good rows only ("good")."""
    item = get_import(goal, import_id)
    decision = {
        "go": apply_plan,
        "columns": return_to_columns,
        "forget": forget_saved_mapping,
        "good": import_good_rows,
    }.get(request.POST.get("what", ""))
    if decision is not None:
        decision(item=item)
    return _redirect_to_import(goal, item)


def _redirect_to_import(goal: Goal, item: Import) -> HttpResponse:
    return redirect("imports:detail", goal_id=goal.pk, import_id=item.pk)

"""A person's own prompts, without wanted answers: ask, read side by side, mark and note."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.candidates.services import last_test_was_in_8_bits
from finetune_app.core.audit import AuditAction
from finetune_app.core.downloads import download
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.evaluation.candidate_selection import (
    EvaluationInputs,
    all_options,
    create_candidates,
    default_prompt,
)
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.prompt_sheets import presenters, services
from finetune_app.prompt_sheets.download import TYPES, sheet_pieces
from finetune_app.prompt_sheets.forms import BASE, NewSheetForm
from finetune_app.prompt_sheets.models import PromptSheet
from finetune_app.training.answer_length import max_new_tokens


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """All sheets of the goal, the newest first."""
    context = {
        "sheets": goal.prompt_sheets.with_details().with_prompt_count(),
        "may_edit": may_edit(request),
    }
    return render_page(request, "prompt_sheets/page.html", context)


@goal_page(Role.EDITOR, "GET", "POST")
def new(request: HttpRequest, goal: Goal) -> HttpResponse:
    """GET: the form. POST: ask these candidates."""
    try:
        inputs = EvaluationInputs.for_goal(goal)
    except PlainError as problem:
        return render_page(request, "prompt_sheets/new.html", {"why_not": problem.message})
    posted = (request.POST, request.FILES) if request.method == "POST" else ()
    form = NewSheetForm(
        *posted,
        default_prompt=default_prompt(inputs),
        options=all_options(inputs),
        base_name=inputs.base_model.name,
    )
    if posted and form.is_valid():
        base, *others = create_candidates(
            inputs,
            prompt=form.prompt(),
            keys=form.option_keys(),
            in_8_bits=last_test_was_in_8_bits(goal, inputs.base_model),
        )
        sheet = services.start(
            goal=goal,
            name=form.name,
            prompts=form.prompts,
            candidates=[base, *others] if BASE in form.option_keys() else others,
            max_new_tokens=max_new_tokens(goal.measure, inputs.version),
            user=request.user,
        )
        return redirect("prompt_sheets:detail", goal.pk, sheet.pk)
    context = {"form": form, "inputs": inputs}
    return render_page(request, "prompt_sheets/new.html", context, status=422 if posted else 200)


@goal_page(Role.VIEWER, "GET")
def detail(request: HttpRequest, goal: Goal, sheet_id: int) -> HttpResponse:
    """Progress while it runs; then one prompt at a time with all answers to it."""
    sheet = _sheet_or_404(goal, sheet_id)
    editor = may_edit(request)
    context: dict[str, Any] = {"sheet": sheet, "job": sheet.job, "may_edit": editor}
    if not sheet.is_done:
        context |= presenters.progress_context(sheet)
        return render_page(request, "prompt_sheets/running.html", context, partial="live")
    if request.headers.get("HX-Target") == "live":  # it ended while somebody watched
        response = HttpResponse(status=204)
        response["HX-Refresh"] = "true"
        return response
    at = whole_number(request.GET.get("at"))
    context |= presenters.reading_context(sheet, request.user, at, may_edit=editor)
    return render_page(request, "prompt_sheets/detail.html", context)


@goal_page(Role.EDITOR, "POST")
def mark(request: HttpRequest, goal: Goal, sheet_id: int, index: int) -> HttpResponse:
    """Store which answer this person prefers, and go on to the next prompt."""
    sheet = _sheet_or_404(goal, sheet_id)
    services.mark(sheet=sheet, index=index, by=request.user, answer=request.POST.get("answer", ""))
    is_last = not sheet.prompts.filter(index=index + 1).exists()
    return _to_prompt(sheet, index if is_last else index + 1)


@goal_page(Role.EDITOR, "POST")
def note(request: HttpRequest, goal: Goal, sheet_id: int, index: int) -> HttpResponse:
    """Save this person's note on a prompt, and stay there."""
    sheet = _sheet_or_404(goal, sheet_id)
    text = request.POST.get("text", "")
    services.save_note(sheet=sheet, index=index, by=request.user, text=text)
    return _to_prompt(sheet, index)


@goal_page(Role.EDITOR, "POST")
def show_names(request: HttpRequest, goal: Goal, sheet_id: int) -> HttpResponse:
    """Show this person whose answer is whose; what they marked stays as it is from now on."""
    sheet = _sheet_or_404(goal, sheet_id)
    services.show_names(sheet=sheet, by=request.user)
    return redirect("prompt_sheets:detail", goal.pk, sheet.pk)


@goal_page(Role.VIEWER, "GET", audit=AuditAction.PROMPT_SHEET_EXPORTED)
def download_sheet(request: HttpRequest, goal: Goal, sheet_id: int, form: str) -> HttpResponseBase:
    """Every prompt with all answers, marks and notes. `form` is a key of TYPES."""
    sheet = _sheet_or_404(goal, sheet_id)
    if form not in TYPES:
        raise Http404("there is no such form")
    if not sheet.is_done:
        raise PlainError(_("The answers are not there yet."), status=409)
    reading = presenters.reading_of(sheet, request.user)
    if presenters.hides_names(reading, may_edit=may_edit(request)):
        raise PlainError(
            _("The file says whose answer is whose. Show the names on the page first."),
            status=409,
            title=_("The names are still hidden"),
        )
    name = f"{slugify(goal.name)[:40] or 'goal'}-prompts-{sheet.pk}.{form}"
    return download(request, sheet_pieces(sheet, form), name=name, content_type=TYPES[form])


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal, sheet_id: int) -> HttpResponse:
    services.stop(sheet=_sheet_or_404(goal, sheet_id))
    return redirect("prompt_sheets:detail", goal.pk, sheet_id)


@goal_page(Role.EDITOR, "POST")
def resume(request: HttpRequest, goal: Goal, sheet_id: int) -> HttpResponse:
    services.resume(sheet=_sheet_or_404(goal, sheet_id))
    return redirect("prompt_sheets:detail", goal.pk, sheet_id)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.PROMPT_SHEET_DELETED)
def delete(request: HttpRequest, goal: Goal, sheet_id: int) -> HttpResponse:
    services.delete(sheet=_sheet_or_404(goal, sheet_id))
    messages.success(request, _("Those prompts are deleted."))
    return redirect("prompt_sheets:page", goal.pk)


def _sheet_or_404(goal: Goal, sheet_id: int) -> PromptSheet:
    return get_object_or_404(goal.prompt_sheets.with_details(), pk=sheet_id)


def _to_prompt(sheet: PromptSheet, index: int) -> HttpResponse:
    page = reverse("prompt_sheets:detail", args=[sheet.goal_id, sheet.pk])
    return redirect(f"{page}?at={index}")

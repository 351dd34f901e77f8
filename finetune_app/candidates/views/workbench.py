"""Step 4 with instructions: write them, add shots, ask the validation prompts, save a version.

Every POST carries the whole form and saves it first, so that no typed text is lost.
"""

import json
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.candidates import drafts, services, validation_run, workbench
from finetune_app.candidates.forms import DraftForm
from finetune_app.candidates.models import Candidate, WorkbenchDraft
from finetune_app.candidates.validation_prompts import candidate_fingerprint
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

PAGE = "candidates/workbench.html"


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    draft = drafts.draft_of(goal=goal, user=request.user)
    validation_run.judge_stored_answers(goal=goal)
    context = _context(request, draft, DraftForm(draft=draft))
    return render_page(request, PAGE, context, partial="found")


@goal_page(Role.EDITOR, "POST")
def save_draft(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Save while the user types. The results are sent again only when the draft has changed."""
    draft, form = _save_form(request, goal)
    same = request.POST.get("seen") == candidate_fingerprint(draft.as_candidate())
    if request.htmx and same and not form.errors:
        response = HttpResponse(status=204)
    else:
        response = _render(request, draft, form, "tries")
    response["HX-Trigger"] = json.dumps({"saved": _("Saved")})
    return response


@goal_page(Role.EDITOR, "POST")
def ask_prompts(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Ask the next few validation prompts. The response makes the page request the following ones,
    unless the draft has changed since the first request (its `fingerprint`)."""
    draft, form = _save_form(request, goal)
    error = ""
    started_with = request.POST.get("fingerprint", "")
    if started_with and started_with != candidate_fingerprint(draft.as_candidate()):
        return _render(request, draft, form, "tries")
    if not form.errors:
        try:
            _require_model(draft)
            validation_run.ask_next_prompts(goal=goal, candidate=draft.as_candidate())
        except PlainError as problem:
            error = problem.message
    return _render(request, draft, form, "tries", error=error, is_running=not error)


@goal_page(Role.EDITOR, "POST")
def change_shots(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Add an example ("add"), remove one ("drop") or have some picked ("pick")."""
    draft, form = _save_form(request, goal)

    def change() -> None:
        removed = whole_number(request.POST.get("drop"))
        if "pick" in request.POST:
            drafts.pick_shots(draft=draft)
        elif added := request.POST.get("add", ""):
            drafts.add_shot(draft=draft, key=added)
        elif removed is not None:
            drafts.remove_shot(draft=draft, index=removed)

    return _run_and_render(request, draft, form, change, "shots", "tries")


@goal_page(Role.EDITOR, "POST")
def apply_hint(request: HttpRequest, goal: Goal) -> HttpResponse:
    draft, form = _save_form(request, goal)

    def apply() -> None:
        drafts.apply_hint(draft=draft, key=request.POST.get("hint", ""))

    return _run_and_render(request, draft, form, apply, "words", "shots", "tries")


@goal_page(Role.EDITOR, "POST")
def improve(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Have a model propose new instructions ("write"), accept them ("take") or not ("leave")."""
    draft, form = _save_form(request, goal)

    def decide() -> None:
        if "take" in request.POST:
            drafts.accept_proposal(draft=draft)
        else:
            drafts.reject_proposal(draft=draft)

    def write() -> None:
        wanted = request.POST.get("writer", "")
        writers = {workbench.writer_value(one): one for one in _writers(draft, form)}
        if writer := writers.get(wanted) or next(iter(writers.values()), None):
            drafts.propose_instructions(draft=draft, writer=writer)

    if "take" in request.POST or "leave" in request.POST:
        return _run_and_render(request, draft, form, decide, "words", "tries")
    # It takes a while, and the user may go on typing: the text box stays as it is.
    return _run_and_render(request, draft, form, write, "tries")


@goal_page(Role.EDITOR, "POST")
def save_version(request: HttpRequest, goal: Goal) -> HttpResponse:
    draft, form = _save_form(request, goal)
    if form.errors:
        return _render(request, draft, form, "tries")
    version = drafts.save_version(draft=draft)
    messages.success(request, _("Saved as version %(n)d.") % {"n": version.revision})
    return redirect(reverse("candidates:workbench", args=[goal.pk]) + "#versions")


@goal_page(Role.VIEWER, "GET")
def compare_version(request: HttpRequest, goal: Goal, saved_id: int) -> HttpResponse:
    """A saved version beside another one, or beside the draft."""
    validation_run.judge_stored_answers(goal=goal)
    version = _version(goal, saved_id)
    draft = drafts.draft_of(goal=goal, user=request.user)
    other_id = whole_number(request.GET.get("with"))
    other = _version(goal, other_id) if other_id is not None else draft.as_candidate()
    context = workbench.comparison_context(goal, version, other)
    context |= {"goal": goal, "may_edit": may_edit(request)}
    return render_page(request, "candidates/version.html", context)


@goal_page(Role.EDITOR, "POST")
def restore_version(request: HttpRequest, goal: Goal, saved_id: int) -> HttpResponse:
    version = _version(goal, saved_id)
    draft = drafts.draft_of(goal=goal, user=request.user)
    drafts.restore_version(draft=draft, candidate=version)
    messages.success(
        request, _("You continue from version %(n)d; it stays as it is.") % {"n": version.revision}
    )
    return redirect("candidates:workbench", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def remove_version(request: HttpRequest, goal: Goal, saved_id: int) -> HttpResponse:
    services.remove_from_versions(candidate=_version(goal, saved_id))
    messages.success(request, _("Removed from the list. Evaluations that used it stay."))
    return redirect("candidates:workbench", goal_id=goal.pk)


# ---- Shared by the views ----


def _save_form(request: HttpRequest, goal: Goal) -> tuple[WorkbenchDraft, DraftForm]:
    draft = drafts.draft_of(goal=goal, user=request.user)
    form = DraftForm(request.POST, draft=draft)
    form.is_valid()
    drafts.save_draft(draft=draft, **form.draft_fields())
    return draft, form


def _run_and_render(
    request: HttpRequest,
    draft: WorkbenchDraft,
    form: DraftForm,
    action: Callable[[], None],
    *parts: str,
) -> HttpResponse:
    """Run the action if the form is valid, and render these parts of the page again."""
    error = ""
    if not form.errors:
        try:
            action()
        except PlainError as problem:
            error = problem.message
        else:
            form = DraftForm(draft=draft)
    return _render(request, draft, form, *parts, error=error)


def _render(
    request: HttpRequest,
    draft: WorkbenchDraft,
    form: DraftForm,
    *parts: str,
    error: str = "",
    is_running: bool = False,
) -> HttpResponse:
    """For htmx the given parts: the first for its target, the others out of band. Else the page."""
    if not (request.htmx or form.errors or error):
        return redirect("candidates:workbench", goal_id=draft.goal_id)
    context = _context(request, draft, form, error=error, is_running=is_running)
    if not request.htmx:
        return render_page(request, PAGE, context, status=422)
    html = [
        render_to_string(f"{PAGE}#{part}", context | {"oob": bool(at)}, request)
        for at, part in enumerate(parts)
    ]
    return HttpResponse("".join(html), headers={"Vary": "HX-Request"})


def _context(
    request: HttpRequest, draft: WorkbenchDraft, form: DraftForm, **more: Any
) -> dict[str, Any]:
    text = request.GET.get("q", "").replace("\0", "")[:200].strip()
    return {
        "goal": draft.goal,
        "may_edit": may_edit(request),
        "form": form,
        **workbench.draft_context(draft, text, _writers(draft, form)),
        **more,
    }


def _writers(draft: WorkbenchDraft, form: DraftForm) -> list[Candidate]:
    return drafts.possible_writers(draft.goal, form.local.values(), form.remote.values())


def _require_model(draft: WorkbenchDraft) -> None:
    if not (draft.base_model or draft.endpoint):
        raise PlainError(_("Choose which model answers first."), status=422)


def _version(goal: Goal, pk: int) -> Candidate:
    found = (
        goal.candidates.versions().filter(pk=pk).select_related("base_model", "endpoint").first()
    )
    if found is None:
        raise Http404("no such version")
    return found

"""Step 4 with instructions: write them, show examples, try them, keep a version.

Every POST carries the whole form and saves it first, so nothing typed is lost whatever was
pressed, with script or without.
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
from finetune_app.candidates import bench, drafts, services, trying
from finetune_app.candidates.forms import DraftForm
from finetune_app.candidates.models import Candidate, CandidateKind, WorkbenchDraft
from finetune_app.candidates.practice import fingerprint
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import HttpRequest, render_page, whole_number
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

PAGE = "candidates/workbench.html"


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    draft = drafts.draft_of(goal=goal, user=request.user)
    trying.judge_again(goal=goal)
    context = _context(request, draft, DraftForm(draft=draft))
    return render_page(request, PAGE, context, partial="found")


@goal_page(Role.EDITOR, "POST")
def save(request: HttpRequest, goal: Goal) -> HttpResponse:
    """As they type. What was tried is shown again only when it was another draft's."""
    draft, form = _saved(request, goal)
    same = request.POST.get("seen") == fingerprint(draft.as_candidate())
    if request.htmx and same and not form.errors:
        response = HttpResponse(status=204)
    else:
        response = _answer(request, draft, form, "tries")
    response["HX-Trigger"] = json.dumps({"saved": _("Saved")})
    return response


@goal_page(Role.EDITOR, "POST")
def try_some(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The next few practice prompts; the answer asks for the ones after them, as long as the
    draft is the one (`recipe`) that was to be tried. Without script a press asks a few."""
    draft, form = _saved(request, goal)
    trouble = ""
    begun = request.POST.get("recipe", "")
    if begun and begun != fingerprint(draft.as_candidate()):
        return _answer(request, draft, form, "tries")
    if not form.errors:
        try:
            _require_model(draft)
            trying.try_some(goal=goal, candidate=draft.as_candidate())
        except PlainError as problem:
            trouble = problem.message
    return _answer(request, draft, form, "tries", trouble=trouble, going=not trouble)


@goal_page(Role.EDITOR, "POST")
def change_shots(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Show one more (add), take one out (drop), or let them be picked (pick)."""
    draft, form = _saved(request, goal)

    def change() -> None:
        dropped = whole_number(request.POST.get("drop"))
        if "pick" in request.POST:
            drafts.pick_shots(draft=draft)
        elif added := request.POST.get("add", ""):
            drafts.add_shot(draft=draft, key=added)
        elif dropped is not None:
            drafts.drop_shot(draft=draft, place=dropped)

    return _done(request, draft, form, change, "shots", "tries")


@goal_page(Role.EDITOR, "POST")
def take_hint(request: HttpRequest, goal: Goal) -> HttpResponse:
    draft, form = _saved(request, goal)

    def take() -> None:
        drafts.take_hint(draft=draft, key=request.POST.get("hint", ""))

    return _done(request, draft, form, take, "words", "shots", "tries")


@goal_page(Role.EDITOR, "POST")
def suggest(request: HttpRequest, goal: Goal) -> HttpResponse:
    """A capable model writes new instructions (write), and the person takes or leaves them."""
    draft, form = _saved(request, goal)

    def write() -> None:
        wanted = request.POST.get("writer", "")
        writers = {bench.writer_value(one): one for one in drafts.capable(goal)}
        if "take" in request.POST:
            drafts.take_proposal(draft=draft)
        elif "leave" in request.POST:
            drafts.leave_proposal(draft=draft)
        elif writer := writers.get(wanted) or next(iter(writers.values()), None):
            drafts.propose(draft=draft, writer=writer)

    return _done(request, draft, form, write, "words", "tries")


@goal_page(Role.EDITOR, "POST")
def keep(request: HttpRequest, goal: Goal) -> HttpResponse:
    draft, form = _saved(request, goal)
    if form.errors:
        return _answer(request, draft, form, "tries")
    kept = drafts.keep(draft=draft)
    messages.success(request, _("Kept as version %(n)d.") % {"n": kept.revision})
    return redirect(reverse("candidates:workbench", args=[goal.pk]) + "#versions")


@goal_page(Role.VIEWER, "GET")
def version(request: HttpRequest, goal: Goal, kept_id: int) -> HttpResponse:
    """A kept version beside another one, or beside what is being written now."""
    kept = _kept(goal, kept_id)
    draft = drafts.draft_of(goal=goal, user=request.user)
    other_id = whole_number(request.GET.get("with"))
    other = _kept(goal, other_id) if other_id is not None else draft.as_candidate()
    context = {"goal": goal, "may_edit": may_edit(request)} | bench.beside(goal, kept, other)
    return render_page(request, "candidates/version.html", context)


@goal_page(Role.EDITOR, "POST")
def take_up(request: HttpRequest, goal: Goal, kept_id: int) -> HttpResponse:
    kept = _kept(goal, kept_id)
    drafts.take_up(draft=drafts.draft_of(goal=goal, user=request.user), candidate=kept)
    messages.success(
        request, _("You go on from version %(n)d; it stays as it is.") % {"n": kept.revision}
    )
    return redirect("candidates:workbench", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def forget(request: HttpRequest, goal: Goal, kept_id: int) -> HttpResponse:
    services.forget(candidate=_kept(goal, kept_id))
    messages.success(request, _("Off the list. Tests in which it took part stay."))
    return redirect("candidates:workbench", goal_id=goal.pk)


# ---- What the views share ----


def _saved(request: HttpRequest, goal: Goal) -> tuple[WorkbenchDraft, DraftForm]:
    draft = drafts.draft_of(goal=goal, user=request.user)
    form = DraftForm(request.POST, draft=draft)
    form.is_valid()
    drafts.save(draft=draft, **form.fields_of_draft())
    return draft, form


def _done(
    request: HttpRequest,
    draft: WorkbenchDraft,
    form: DraftForm,
    work: Callable[[], None],
    *parts: str,
) -> HttpResponse:
    """Do it, unless the form is wrong; show these parts again."""
    trouble = ""
    if not form.errors:
        try:
            work()
        except PlainError as problem:
            trouble = problem.message
        else:
            form = DraftForm(draft=draft)
    return _answer(request, draft, form, *parts, trouble=trouble)


def _answer(
    request: HttpRequest,
    draft: WorkbenchDraft,
    form: DraftForm,
    *parts: str,
    trouble: str = "",
    going: bool = False,
) -> HttpResponse:
    """htmx gets the parts that changed, the first one for its target; else the whole page."""
    if not (request.htmx or form.errors or trouble):
        return redirect("candidates:workbench", goal_id=draft.goal_id)
    context = _context(request, draft, form, trouble=trouble, going=going)
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
        **bench.context(draft, text),
        **more,
    }


def _require_model(draft: WorkbenchDraft) -> None:
    if not (draft.base_model or draft.endpoint):
        raise PlainError(_("Choose which model answers first."), status=422)


def _kept(goal: Goal, pk: int) -> Candidate:
    found = (
        goal.candidates.filter(pk=pk, saved=True, kind=CandidateKind.PROMPT)
        .select_related("base_model", "endpoint")
        .first()
    )
    if found is None:
        raise Http404("no such version")
    return found

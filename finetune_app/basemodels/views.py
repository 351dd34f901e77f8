"""Step 3: choose and install a base model."""

import json
from pathlib import Path
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.basemodels import hub_search, services, starter_install
from finetune_app.basemodels.catalogue import STARTER
from finetune_app.basemodels.catalogue_rows import catalogue_rows, memory_scale_gb
from finetune_app.basemodels.estimates import work_of
from finetune_app.basemodels.forms import InstallForm, SearchForm, TokenForm
from finetune_app.basemodels.hub import place_of_hub
from finetune_app.basemodels.models import BaseModelChoice, HubToken, Install, Thinking
from finetune_app.basemodels.thinking_choices import thinking_choices
from finetune_app.core import charts
from finetune_app.core.audit import AuditAction
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page
from finetune_app.core.sizes import MEMORY_GB
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal, Method
from finetune_app.jobs import services as jobs
from finetune_app.jobs.worker_machines import training_machine
from finetune_app.versions.models import Version


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """`?base=` opens a row without choosing it."""
    return render_page(request, "basemodels/page.html", _context(request, goal), partial="models")


@goal_page(Role.EDITOR, "POST")
def choose(request: HttpRequest, goal: Goal) -> HttpResponse:
    services.choose(
        goal=goal,
        slug=request.POST.get("base", ""),
        user=request.user,
        thinking=request.POST.get("thinking", Thinking.NO),
    )
    page = "training:page" if goal.method == Method.FINE_TUNE else "guide:onward"
    return redirect(page, goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.BASE_MODEL_INSTALLED)
def install(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Queue the download of a hub id, or the copy of a local folder."""
    form = InstallForm(request.POST)
    if not form.is_valid():
        context = _context(request, goal) | {"install_form": form, "open": True}
        return render_page(request, "basemodels/page.html", context, status=422)
    source = form.cleaned_data["source"]
    started = services.install(
        team=goal.team,
        user=request.user,
        source=source,
        licence_accepted=form.cleaned_data["licence_accepted"],
        from_folder=Path(source).is_absolute(),
        revision=form.cleaned_data["revision"],
    )
    return _redirect(goal, at=f"install-{started.pk}")


@goal_page(Role.EDITOR, "GET")
def search(request: HttpRequest, goal: Goal) -> HttpResponse:
    """?q: models on the hub with these words in their names."""
    form = SearchForm(request.GET if "q" in request.GET else None)
    found, status = None, 200
    if form.is_valid():
        try:
            found = hub_search.search(goal.team, form.cleaned_data["q"])
        except PlainError as problem:
            form.add_error("q", problem.message)
            status = problem.status
    context = {
        "form": form,
        "found": found,
        "host": place_of_hub(),
        "hub_token": HubToken.objects.filter(team=goal.team).first(),
    }
    return render_page(request, "basemodels/search.html", context, status=status)


@goal_page(Role.VIEWER, "GET")
def progress(request: HttpRequest, goal: Goal, install_id: int) -> HttpResponse:
    """Progress of an install. Polling stops when the job ends; then the page reloads."""
    found = _install(goal, install_id)
    if not request.htmx:
        return redirect("basemodels:page", goal_id=goal.pk)
    reply = render_page(
        request, "basemodels/install.html", {"goal": goal, "install": found}, partial="progress"
    )
    if not found.job.is_active:
        reply.headers["HX-Trigger"] = json.dumps({"installed": found.slug})
    return reply


@goal_page(Role.VIEWER, "GET")
def starter(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Whether this host still installs the starter. Polling stops when it is there, or when nobody
    installs it any more; then the page reloads."""
    if not request.htmx:
        return redirect("basemodels:page", goal_id=goal.pk)
    running = None if services.is_installed(STARTER) else starter_install.running()
    context = {"goal": goal, "starter_install": running}
    reply = render_page(request, "basemodels/starter.html", context, partial="starter")
    if running is None:
        reply.headers["HX-Trigger"] = json.dumps({"installed": STARTER})
    return reply


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal, install_id: int) -> HttpResponse:
    """Stop an install and keep its files."""
    jobs.ask_stop(_install(goal, install_id).job)
    return redirect("basemodels:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def cancel(request: HttpRequest, goal: Goal, install_id: int) -> HttpResponse:
    """Cancel an install and delete its files."""
    jobs.cancel(_install(goal, install_id).job)
    return redirect("basemodels:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def resume(request: HttpRequest, goal: Goal, install_id: int) -> HttpResponse:
    """Continue a stopped or failed install."""
    services.resume(_install(goal, install_id))
    return redirect("basemodels:page", goal_id=goal.pk)


@goal_page(Role.OWNER, "POST", audit=AuditAction.HUB_TOKEN_CHANGED)
def token(request: HttpRequest, goal: Goal) -> HttpResponse:
    form = TokenForm(request.POST)
    if not form.is_valid():
        context = _context(request, goal) | {"token_form": form, "open": True}
        return render_page(request, "basemodels/page.html", context, status=422)
    given = form.cleaned_data["token"]
    try:
        services.save_hub_token(team=goal.team, token=given)
    except PlainError as problem:
        form.add_error("token", problem.message)
        context = _context(request, goal) | {"token_form": form, "open": True}
        return render_page(request, "basemodels/page.html", context, status=problem.status)
    saved = _("The token works and is saved. It is encrypted and will not be shown again.")
    messages.success(request, saved if given else _("The token is deleted."))
    return _redirect(goal, at="work")


def _redirect(goal: Goal, *, at: str) -> HttpResponse:
    """Redirect to the page, at the element with this id."""
    return redirect(f"{reverse('basemodels:page', args=[goal.pk])}#{at}")


def _install(goal: Goal, install_id: int) -> Install:
    found = Install.objects.select_related("job").filter(team=goal.team, pk=install_id).first()
    if found is None:
        raise Http404("no such install")
    return found


def _context(request: HttpRequest, goal: Goal) -> dict[str, Any]:
    machine = training_machine()
    version = Version.objects.filter(dataset__goal=goal).order_by("-number").first()
    rows = catalogue_rows(goal.team, machine, work_of(version))
    ready = {row.slug: row for row in rows if row.installed}
    choice = BaseModelChoice.objects.select_related("base_model").filter(goal=goal).first()
    wanted = (request.GET.get("base"), choice.base_model.slug if choice else None)
    chosen = next((ready[slug] for slug in wanted if slug in ready), None)
    if chosen is None and ready:
        chosen = next(iter(ready.values()))
    free = machine.available_bytes / MEMORY_GB
    return {
        "goal": goal,
        "machine": machine,
        "free_gb": free,
        "scale": charts.memory_scale(free, memory_scale_gb(machine)),
        "rows": rows,
        "chosen": chosen,
        "thinking_choices": thinking_choices(),
        "thinking": choice.thinking
        if choice and chosen and choice.base_model.slug == chosen.slug
        else Thinking.NO,
        "version": version,
        "starter": next(row for row in rows if row.slug == STARTER),
        "starter_install": None if STARTER in ready else starter_install.running(),
        "install_form": InstallForm(),
        "search_form": SearchForm(),
        "token_form": TokenForm(),
        "hub_token": HubToken.objects.filter(team=goal.team).first(),
    }

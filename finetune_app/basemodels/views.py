"""Step 3: which model to start from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.basemodels import services
from finetune_app.basemodels.catalogue import Entry, catalogue
from finetune_app.basemodels.estimates import (
    Estimate,
    Fit,
    estimate,
    fit,
    guessed_speed,
    memory_needed,
)
from finetune_app.basemodels.forms import InstallForm, TokenForm
from finetune_app.basemodels.models import BaseModel, Choice, HubToken, Install
from finetune_app.core import charts
from finetune_app.core.machine import GIB, Machine, this_machine
from finetune_app.core.requests import HttpRequest, render_page
from finetune_app.datasets.models import Version
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs

TYPICAL_TOKENS_A_STEP = 1_000  # until a version says how long the examples are
TYPICAL_TOKENS = 60_000


@dataclass(frozen=True)
class Row:
    """One line of the catalogue page."""

    slug: str
    name: str
    words: str
    installed: BaseModel | None
    install: Install | None
    entry: Entry | None
    fit: Fit
    estimate: Estimate | None
    bar: str


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    return render_page(request, "basemodels/page.html", _context(goal), partial="models")


@goal_page(Role.EDITOR, "POST")
def choose(request: HttpRequest, goal: Goal) -> HttpResponse:
    services.choose(goal=goal, slug=request.POST.get("base", ""), user=request.user)
    return redirect("training:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def install(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Queue the download of a hub id, or the copy of a local folder."""
    form = InstallForm(request.POST)
    if not form.is_valid():
        context = _context(goal) | {"install_form": form, "open": True}
        return render_page(request, "basemodels/page.html", context, status=422)
    source = form.cleaned_data["source"].strip()
    services.install(
        team=goal.team, user=request.user, source=source,
        licence_accepted=form.cleaned_data["licence_accepted"],
        from_folder=Path(source).is_absolute(),
    )
    return redirect("basemodels:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def cancel(request: HttpRequest, goal: Goal, install_id: int) -> HttpResponse:
    jobs.cancel(_install(goal, install_id).job)
    return redirect("basemodels:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def go_on(request: HttpRequest, goal: Goal, install_id: int) -> HttpResponse:
    """Try a stopped or failed install again; what is downloaded already is kept."""
    jobs.ask_continue(_install(goal, install_id).job)
    return redirect("basemodels:page", goal_id=goal.pk)


@goal_page(Role.OWNER, "POST")
def token(request: HttpRequest, goal: Goal) -> HttpResponse:
    form = TokenForm(request.POST)
    if form.is_valid():
        services.save_hub_token(team=goal.team, token=form.cleaned_data["token"])
        messages.success(request, _("Saved. It is encrypted and will not be shown again."))
    return redirect("basemodels:page", goal_id=goal.pk)


def _install(goal: Goal, install_id: int) -> Install:
    found = Install.objects.select_related("job").filter(team=goal.team, pk=install_id).first()
    if found is None:
        raise Http404("no such install")
    return found


def _context(goal: Goal) -> dict[str, Any]:
    machine = this_machine(settings.DATA_DIR)
    version = Version.objects.filter(dataset__goal=goal).order_by("-number").first()
    choice = Choice.objects.select_related("base_model").filter(goal=goal).first()
    rows = _rows(goal, machine, version)
    scale = machine.memory_bytes / GIB
    ready = [row for row in rows if row.installed]
    chosen = choice.base_model.slug if choice else (ready[0].slug if ready else "")
    return {
        "goal": goal,
        "machine": machine,
        "free_gb": machine.free_bytes / GIB,
        "scale": charts.memory_scale(machine.free_bytes / GIB, scale),
        "rows": rows,
        "chosen": chosen,
        "ready": bool(ready),
        "installing": any(row.install and row.install.job.is_active for row in rows),
        "install_form": InstallForm(),
        "token_form": TokenForm(),
        "has_token": HubToken.objects.filter(team=goal.team).exists(),
    }


def _rows(goal: Goal, machine: Machine, version: Version | None) -> list[Row]:
    """The catalogue, then what this team installed beside it."""
    installed = {model.slug: model for model in services.usable_by(goal.team)}
    installs: dict[str, Install] = {}
    for one in Install.objects.filter(team=goal.team).select_related("job").order_by("pk"):
        installs[one.slug] = one
    known = [entry.slug for entry in catalogue()]
    rows = [
        _row(entry.slug, entry, installed.get(entry.slug), installs.get(entry.slug), machine, version)
        for entry in catalogue()
    ]
    others = dict.fromkeys([*installed, *installs])
    rows += [
        _row(slug, None, installed.get(slug), installs.get(slug), machine, version)
        for slug in others
        if slug not in known and (slug in installed or not installs[slug].job.state == "cancelled")
    ]
    return rows


def _row(
    slug: str, entry: Entry | None, model: BaseModel | None, install: Install | None,
    machine: Machine, version: Version | None,
) -> Row:
    guess = estimate(model, version) if model and version else None
    parameters = entry.parameters if entry else model.parameters if model else 0
    memory = guess.memory_bytes if guess else memory_needed(
        parameters, entry.layers if entry else 28, entry.hidden if entry else 1536,
        TYPICAL_TOKENS_A_STEP,
    )
    seconds = guess.seconds if guess else TYPICAL_TOKENS / guessed_speed(parameters)
    found = fit(machine, memory, seconds)
    bar = charts.memory_bar(
        memory / GIB, machine.free_bytes / GIB, machine.memory_bytes / GIB,
        _("Needs %(need).1f GB of the %(free).1f GB that are free") % {
            "need": memory / GIB, "free": machine.free_bytes / GIB},
    )
    name = entry.name if entry else model.name if model else install.name if install else slug
    return Row(slug=slug, name=name, words=_words(entry, model, install), installed=model,
               install=install, entry=entry, fit=found, estimate=guess, bar=bar)


def _words(entry: Entry | None, model: BaseModel | None, install: Install | None) -> str:
    """Language, context, licence, download: what one wants to know, in a line."""
    if entry:
        parts = [entry.languages, _("%(n)s tokens of context") % {"n": f"{entry.context:,}"},
                 entry.licence]
        if not model:
            parts.append(_("download %(gb).1f GB") % {"gb": entry.size_gb})
        return ", ".join(parts) + "."
    if model:
        return _("%(architecture)s, %(n)s tokens of context. From %(source)s.") % {
            "architecture": model.architecture, "n": f"{model.context:,}", "source": model.source}
    return _("From %(source)s.") % {"source": install.source if install else ""}

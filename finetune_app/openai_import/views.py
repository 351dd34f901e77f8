"""Coming from OpenAI: bring files or a job, look at what was found, make a goal of it."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import member
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction, set_audit_target
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page
from finetune_app.openai_import import presenters, services
from finetune_app.openai_import.forms import BringForm, MakeForm
from finetune_app.openai_import.models import OpenAIImport
from finetune_app.openai_import.openai_account import fetch, jobs_of
from finetune_app.openai_import.openai_job import job_from_file
from finetune_app.openai_import.promptfoo import read_suite
from finetune_app.remote_training.models import PlatformAccount
from finetune_app.remote_training.platform_kinds import OPENAI


@member(Role.EDITOR, "GET", "POST")
def bring(request: HttpRequest) -> HttpResponse:
    """Step 1: files, or an account to read a job from."""
    is_sent = request.method == "POST"
    form = BringForm(request.POST if is_sent else None, request.FILES if is_sent else None)
    if is_sent and form.is_valid():
        try:
            item = _brought(request, form.cleaned_data)
        except PlainError as problem:
            form.add_error(None, problem.message)
        else:
            return redirect("openai_import:check", openai_import_id=item.pk)
    context = {"form": form, "accounts": _accounts(request)}
    status = 422 if form.errors else 200
    return render_page(request, "openai_import/bring.html", context, status=status)


@member(Role.EDITOR, "POST")
def jobs(request: HttpRequest, account_id: int) -> HttpResponse:
    """The jobs of an account, asked for now."""
    account = _account_or_404(request, account_id)
    context = {"account": account, "jobs": jobs_of(account)}
    return render_page(request, "openai_import/jobs.html", context)


@member(Role.EDITOR, "POST")
def fetch_job(request: HttpRequest, account_id: int) -> HttpResponse:
    """The settings and files of one job."""
    account = _account_or_404(request, account_id)
    assert request.team
    job, training_file, validation_file = fetch(account, request.POST.get("job", ""))
    item = services.bring(
        team=request.team,
        by=request.user,
        job=job,
        training_file=training_file,
        validation_file=validation_file,
    )
    return redirect("openai_import:check", openai_import_id=item.pk)


@member(Role.EDITOR, "GET", "POST", audit=AuditAction.GOAL_CREATED)
def check(request: HttpRequest, openai_import_id: int) -> HttpResponse:
    """Step 2: what was found, and what becomes of it. Step 3, once it has been made."""
    item = _import_or_404(request, openai_import_id)
    if item.goal:
        return render_page(request, "openai_import/made.html", presenters.made(item))
    assert request.team
    form = MakeForm(
        request.POST or None,
        base_models=services.installed_models(request.team),
        trains=bool(item.training_file),
        initial=presenters.initial(item),
    )
    if request.method == "POST" and form.is_valid():
        try:
            goal = services.make(
                item=item,
                by=request.user,
                name=form.cleaned_data["name"],
                settings=form.cleaned_data,
            )
        except PlainError as problem:
            form.add_error(None, problem.message)
        else:
            set_audit_target(request, goal)
            messages.success(request, _("Made: the goal, its dataset and what follows."))
            return redirect("openai_import:check", openai_import_id=item.pk)
    context = presenters.found(item) | {"form": form}
    status = 422 if form.errors else 200
    return render_page(request, "openai_import/check.html", context, status=status)


def _brought(request: HttpRequest, given: dict[str, Any]) -> OpenAIImport:
    assert request.team
    job_file, suite_file = given["job_file"], given["suite_file"]
    return services.bring(
        team=request.team,
        by=request.user,
        training_file=given["training_file"],
        validation_file=given["validation_file"],
        job=job_from_file(job_file.read()) if job_file else None,
        suite=read_suite(suite_file.read()) if suite_file else None,
    )


def _accounts(request: HttpRequest) -> Any:
    assert request.team
    return request.team.platform_accounts.filter(platform=OPENAI)


def _account_or_404(request: HttpRequest, account_id: int) -> PlatformAccount:
    found: PlatformAccount | None = _accounts(request).filter(pk=account_id).first()
    if found is None:
        raise Http404("no such account")
    return found


def _import_or_404(request: HttpRequest, pk: int) -> OpenAIImport:
    found = OpenAIImport.objects.filter(team=request.team, pk=pk)
    item = found.select_related("training_file", "validation_file", "goal").first()
    if item is None or not (item.goal or item.training_file or item.suite):
        raise Http404("no such import, or its files have expired")
    return item

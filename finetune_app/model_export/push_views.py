"""Push a tuned model to the hub: what goes there, start, follow, stop, continue, forget."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import is_owner, may_edit, require_role
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction, set_audit_target
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.model_export import push_presenters, pushing
from finetune_app.model_export.models import HubPush
from finetune_app.model_export.push_forms import PushForm


@goal_page(Role.EDITOR, "GET", "POST", audit=AuditAction.MODEL_PUSHED)
def push(request: HttpRequest, goal: Goal) -> HttpResponse:
    """GET: ?training, ?step and ?format, and what would go where. POST: start."""
    given = request.POST if request.method == "POST" else request.GET
    trained = goal.trainings.with_adapter().select_related("base_model", "version", "goal")
    if "training" not in given:
        raise PlainError(_("Choose what to push on the page of the exports."), status=422)
    training = get_object_or_404(trained, number=whole_number(given["training"]) or 0)
    step, format = whole_number(given.get("step")), given.get("format", "")
    export = pushing.require_pushable(training, step, format)
    token = pushing.require_token(goal)
    terms = pushing.require_licence(training)
    form = PushForm(
        request.POST or None,
        token=token,
        terms=terms,
        may_publish=is_owner(request),
        initial={"name": pushing.suggested_name(training, step, format)},
    )
    if request.method == "POST" and form.is_valid():
        try:
            made = pushing.start(
                training=training,
                step=step,
                format=format,
                namespace=form.cleaned_data["namespace"],
                name=form.cleaned_data["name"],
                public=form.cleaned_data.get("public", False),
                agreed=form.cleaned_data.get("agreed", False),
                by=request.user,
            )
        except PlainError as problem:
            form.add_error("name", problem.message)
        else:
            set_audit_target(request, made)
            return redirect("model_export:pushed", goal_id=goal.pk, push_id=made.pk)
    context = push_presenters.form_context(training, step, format, export, terms) | {"form": form}
    status = 422 if form.errors else 200
    return render_page(request, "model_export/push.html", context, status=status)


@goal_page(Role.VIEWER, "GET")
def pushed(request: HttpRequest, goal: Goal, push_id: int) -> HttpResponse:
    """How a push stands; its live part for htmx."""
    found = _push_or_404(goal, push_id)
    context = push_presenters.live_context(found) | {
        "may_edit": may_edit(request),
        "may_continue": is_owner(request) or not found.public,
    }
    return render_page(request, "model_export/pushed.html", context, partial="live")


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal, push_id: int) -> HttpResponse:
    pushing.stop(push=_push_or_404(goal, push_id))
    return redirect("model_export:pushed", goal_id=goal.pk, push_id=push_id)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.MODEL_PUSH_CONTINUED)
def resume(request: HttpRequest, goal: Goal, push_id: int) -> HttpResponse:
    """Only an owner continues a push that makes a model public: an owner may have stopped it."""
    found = _push_or_404(goal, push_id)
    if found.public:
        require_role(request.membership, Role.OWNER)
    pushing.resume(push=found)
    return redirect("model_export:pushed", goal_id=goal.pk, push_id=push_id)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.MODEL_PUSH_FORGOTTEN)
def forget(request: HttpRequest, goal: Goal, push_id: int) -> HttpResponse:
    pushing.forget(push=_push_or_404(goal, push_id))
    messages.success(request, _("Its record here is deleted. What is on the hub stays there."))
    return redirect("model_export:page", goal_id=goal.pk)


def _push_or_404(goal: Goal, push_id: int) -> HubPush:
    found = HubPush.objects.select_related(
        "job", "by", "training__goal", "training__base_model", "training__version"
    )
    return get_object_or_404(found, pk=push_id, training__goal=goal)

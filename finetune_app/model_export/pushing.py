"""Push a tuned model to the hub: what may be pushed, start, stop, continue, forget."""

import re

from django.db import transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.basemodels.models import HubToken
from finetune_app.core.errors import PlainError
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ACTIVE, CAN_CONTINUE
from finetune_app.model_export.adapter_files import adapter_files
from finetune_app.model_export.licences import LicenceTerms, Rule, terms_of
from finetune_app.model_export.models import ExportFormat, HubPush, ModelExport
from finetune_app.model_export.services import file_stem
from finetune_app.training.kept_steps import name_of_step
from finetune_app.training.models import Training

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?", re.ASCII)
FORMATS = [HubPush.ADAPTER, *ExportFormat.values]


def require_pushable(training: Training, step: int | None, format: str) -> ModelExport | None:
    """The export whose file would be pushed; None for the adapter.

    Raises PlainError for an unknown format, for an export that has not passed its check, and for
    an adapter that is not the one that was trained.
    """
    if format == HubPush.ADAPTER:
        adapter_files(training, step)
        return None
    if format not in ExportFormat.values:
        raise PlainError(_("Choose which format you want to push."), status=404)
    found = ModelExport.objects.select_related("job").filter(
        training=training, step=step, format=format
    )
    export = found.first()
    if export is None or not export.is_ready or not export.parity.get("passed"):
        raise PlainError(
            _(
                "Nothing is pushed before it is checked. Make this format first: then it is loaded "
                "back and compared with the model you tested."
            ),
            status=409,
            title=_("It has not passed its check"),
        )
    return export


def require_token(goal: Goal) -> HubToken:
    """The team's token of the hub. Raises PlainError where there is none that may write."""
    token = HubToken.objects.filter(team=goal.team).first()
    if token is None or not token.account:
        raise PlainError(
            _("Your team has no access token of the hub yet. An owner can save one in step 3."),
            status=409,
            title=_("No account on the hub yet"),
        )
    if token.role == "read":
        raise PlainError(
            _(
                "The token of your team may only read. An owner makes one with the role “write” on "
                "the hub, and saves it in step 3."
            ),
            status=409,
            title=_("The token may not write"),
        )
    return token


def require_licence(training: Training, name: str = "", *, agreed: bool = True) -> LicenceTerms:
    """Raises PlainError where the base model's licence does not allow it, where nobody has said
    that its terms are kept, and where the repository's name is not one that it asks for."""
    terms = terms_of(training.base_model)
    if terms.rule == Rule.FORBIDDEN:
        raise PlainError(
            _("The licence of %(base)s (%(licence)s) does not allow it. %(words)s")
            % {"base": training.base_model, "licence": terms.name, "words": terms.words},
            status=409,
            title=_("It may not be passed on"),
        )
    if terms.rule != Rule.FREE and not agreed:
        raise PlainError(_("Say first that the licence allows it and that you keep to it."))
    if terms.names and name and not name.lower().startswith(terms.names.lower()):
        raise PlainError(
            _("The licence of %(base)s asks for a name that begins with “%(start)s”.")
            % {"base": training.base_model, "start": terms.names}
        )
    return terms


@transaction.atomic
def start(
    *,
    training: Training,
    step: int | None,
    format: str,
    namespace: str,
    name: str,
    public: bool,
    agreed: bool,
    by: User | None,
) -> HubPush:
    """Queue a push. Idempotent: returns the one that is under way to the same repository.

    Raises PlainError as the functions above, and where another push goes to the same repository.
    """
    goal = Goal.objects.lock(training.goal_id)
    token = require_token(goal)
    export = require_pushable(training, step, format)
    terms = require_licence(training, name, agreed=agreed)
    if namespace not in token.namespaces:
        raise PlainError(_("Choose an account that your team's token belongs to."))
    if not NAME.fullmatch(name) or "--" in name or ".." in name:
        raise PlainError(_("A name has letters, digits, “-”, “_” and “.”, at most 96."))
    repository = f"{namespace}/{name}"
    if going := _going_to(repository, goal):
        same = (going.training_id, going.step, going.format) == (training.pk, step, format)
        if same and going.public == public:
            return going
        raise _busy(repository)
    job = jobs.create(
        team=goal.team,
        kind="hub_push",
        spec={},
        title=_("Push of %(training)s to %(name)s")
        % {"training": name_of_step(training, step), "name": repository},
    )
    return HubPush.objects.create(
        training=training,
        step=step,
        format=format,
        export=export,
        job=job,
        repository=repository,
        public=public,
        licence=terms.name,
        by=by,
    )


def _going_to(repository: str, goal: Goal) -> HubPush | None:
    """The push of this team that is under way to it."""
    return HubPush.objects.filter(
        training__goal__team=goal.team_id, repository__iexact=repository, job__state__in=ACTIVE
    ).first()


def _busy(repository: str) -> PlainError:
    return PlainError(
        _("Something is being pushed to %(name)s already. Wait until that is done.")
        % {"name": repository},
        status=409,
    )


def stop(*, push: HubPush) -> None:
    jobs.ask_stop(push.job)


@transaction.atomic
def resume(*, push: HubPush) -> None:
    """Go on: what is on the hub already is not sent again. Raises PlainError, also while another
    push goes to the same repository: it would hold the files of both."""
    goal = Goal.objects.lock(push.training.goal_id)
    if push.job.state not in CAN_CONTINUE:
        raise PlainError(_("This push is not stopped, so there is nothing to continue."))
    if _going_to(push.repository, goal):
        raise _busy(push.repository)
    jobs.ask_continue(push.job)


def forget(*, push: HubPush) -> None:
    """Delete its record here; what is on the hub stays there. Raises PlainError while it runs."""
    if push.job.is_active:
        raise PlainError(_("It is being pushed. Stop it first."), status=409)
    push.delete()


def earlier_files(push: HubPush) -> list[str]:
    """Paths of what this team pushed to the same repository last, to be replaced."""
    before = HubPush.objects.filter(
        training__goal__team=push.training.goal.team_id, repository__iexact=push.repository
    ).exclude(commit="")
    last = before.first()
    return sorted(last.files) if last else []


def suggested_name(training: Training, step: int | None, format: str) -> str:
    """As short as it can be and still be told apart."""
    stem = file_stem(training, step)
    ending = "" if format == HubPush.ADAPTER else f"-{slugify(format)}"
    start = terms_of(training.base_model).names
    return f"{f'{start}-' if start else ''}{stem}{ending}"[:96].strip("-")

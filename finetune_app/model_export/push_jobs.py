"""Job handler of a push to the hub: what the worker gets, and what is stored of its result."""

import zipfile
from typing import Any, cast

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.basemodels.services import hub_token
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.jobs.handlers import ChildSpec, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job
from finetune_app.model_export import model_card, pushing
from finetune_app.model_export.adapter_files import adapter_files
from finetune_app.model_export.job_messages import PushResult, PushSpec
from finetune_app.model_export.models import HubPush, ModelExport

MODEL_FOLDER = "model"  # of a merged model, in the zip; its files lie at the top of a repository
RUN, CHECKED = "\n## How to run it\n", "\n## How this file was checked\n"  # in its README.md


class HubPushHandler(JobHandler):
    kind = JobKind(
        name="hub_push",
        runner="worker.model_export.push",
        interrupted=gettext_lazy("This stopped unexpectedly; looking what is on the hub already."),
        stopping=gettext_lazy("Stopping. What is on the hub already is kept there."),
    )

    def child_spec(self, job: Job) -> ChildSpec:
        """The token goes to the child over its pipe and is stored nowhere else. Everything is
        checked once more: between the start and now it may have changed. Raises PlainError."""
        push = _push_of(job)
        pushing.require_token(push.training.goal)
        pushing.require_licence(push.training)
        export = pushing.require_pushable(push.training, push.step, push.format)
        spec: PushSpec = {
            "repository": push.repository,
            "public": push.public,
            "token": hub_token(push.training.goal.team) or "",
            "card": card_of(push, export),
            "archive": str(local_path(export.stored_name)) if export else "",
            "archive_sha256": export.sha256 if export else "",
            "files": [] if export else _adapter(push),
            "earlier": pushing.earlier_files(push),
            "message": _("From Finetune: %(title)s")
            % {"title": model_card.title(push.training, push.step)},
        }
        return ChildSpec(settings.DATA_DIR / push.folder, cast(dict[str, Any], spec))

    def finish(self, job: Job, result: Result) -> None:
        found = cast(PushResult, result)
        if not found.get("stopped"):
            HubPush.objects.filter(job=job).update(commit=found["commit"], files=found["files"])


def card_of(push: HubPush, export: ModelExport | None) -> str:
    """The model card as of now. How an export is run and how it was checked is taken from the card
    in its file; what was learned of it since, such as its test, is new."""
    training, step = push.training, push.step
    if export is None:
        return model_card.adapter_card(training, step, place=push.repository)
    card = model_card.card_text(training, model_card.KINDS[export.format.split("-")[0]], step)
    middle = _run_and_checked(export).replace(
        f'from_pretrained("{MODEL_FOLDER}"', f'from_pretrained("{push.repository}"'
    )
    return "".join([card["start"], "\n", middle, card["facts"], "\n"])


def _run_and_checked(export: ModelExport) -> str:
    """Raises PlainError where the file, or the card in it, is not there any more."""
    try:
        with zipfile.ZipFile(local_path(export.stored_name)) as archive:
            name = next(n for n in archive.namelist() if n.endswith("/README.md"))
            text = archive.read(name).decode()
        start = text.index(RUN)
        end = text.index("\n## ", text.index(CHECKED, start) + len(CHECKED))
    except (OSError, zipfile.BadZipFile, StopIteration, ValueError):
        raise PlainError(
            _("The file of this export cannot be read. Delete it and make it again."), status=409
        ) from None
    return text[start : end + 1]


def _adapter(push: HubPush) -> list[tuple[str, str]]:
    return [(str(path), name) for path, name in adapter_files(push.training, push.step)]


def _push_of(job: Job) -> HubPush:
    return HubPush.objects.select_related(
        "training__goal__team", "training__base_model", "training__version", "training__job"
    ).get(job=job)

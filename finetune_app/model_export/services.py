"""Start, stop and delete exports of tuned models."""

from django.db import transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from finetune_app.accounts import storage
from finetune_app.accounts.models import User
from finetune_app.candidates import validation_prompts
from finetune_app.core.chat_messages import Message
from finetune_app.core.errors import PlainError
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.model_export.job_messages import BYTES_PER_PARAMETER
from finetune_app.model_export.models import ExportFormat, ModelExport
from finetune_app.training.kept_steps import adapter_sha256_of, name_of_step
from finetune_app.training.models import Training


@transaction.atomic
def start(
    *, training: Training, format: str, by: User | None, step: int | None = None
) -> ModelExport:
    """Queue an export of the best step, or of a kept one. Idempotent: returns the one that is
    running or ready, and replaces one that failed or was stopped.

    Raises PlainError for an unknown format, a training or step without an adapter, a goal without
    prompts to check the export with, or a team without space for it.
    """
    if format not in ExportFormat.values:
        raise PlainError(_("Choose in which format you want to take it with you."))
    if not training.adapter_sha256:
        raise PlainError(_("This training has no adapter yet."), status=404)
    adapter_sha256_of(training, step)
    require_prompts(training.goal)
    Goal.objects.lock(training.goal_id)
    same = ModelExport.objects.filter(training=training, format=format, step=step)
    existing = same.select_related("job").first()
    if existing and (existing.job.is_active or existing.is_ready):
        return existing
    storage.require_space(training.goal.team, expected_bytes(training, format))
    if existing:
        existing.delete()  # with its job and files
    job = jobs.create(
        team=training.goal.team,
        kind="export",
        spec={},
        title=_("Export of %(training)s, %(format)s")
        % {"training": name_of_step(training, step), "format": ExportFormat(format).label},
    )
    return ModelExport.objects.create(training=training, step=step, format=format, job=job, by=by)


def stop(*, export: ModelExport) -> None:
    jobs.ask_stop(export.job)


def delete(*, export: ModelExport) -> None:
    """Delete the export with its file; it can be made again."""
    export.delete()


def expected_bytes(training: Training, format: str) -> int:
    """Of the file of an export."""
    _container, number_format = format.split("-", 1)
    return int(training.base_model.parameters * BYTES_PER_PARAMETER[number_format])


def require_prompts(goal: Goal) -> list[list[Message]]:
    """Prompts to compare the export with the tested model on: from the validation split, never
    from the test split. Raises PlainError where there are none."""
    prompts = [list(one.messages) for one in validation_prompts.prompts_of_goal(goal)]
    prompts = prompts or [[{"role": "user", "content": pair["prompt"]}] for pair in goal.pairs]
    if not prompts:
        raise PlainError(
            _(
                "An export is checked on practice prompts before you can download it, and this "
                "goal has none. Move some examples to practice in step 2."
            ),
            status=409,
        )
    return prompts


def file_stem(training: Training, step: int | None = None) -> str:
    """Name of the exported files and folders, without a suffix."""
    stem = f"{slugify(training.goal.name)[:40] or 'goal'}-training-{training.number}"
    return stem if step is None else f"{stem}-step-{step}"

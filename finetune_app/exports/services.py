"""Make, stop and delete exports."""

from django.db import transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.candidates import practice
from finetune_app.candidates.composing import Message
from finetune_app.core.errors import PlainError
from finetune_app.exports.models import Export, Form
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Kind
from finetune_app.training.models import Training


@transaction.atomic
def start(*, training: Training, form: str, by: User | None) -> Export:
    """Queue it; a second click returns what is being made or is there already. What was stopped
    or failed begins again. Raise PlainError where it cannot be made."""
    if form not in Form.values:
        raise PlainError(_("Choose in which form you want to take it with you."))
    if not training.adapter_sha256:
        raise PlainError(_("This training has no adapter yet."), status=404)
    require_prompts(training.goal)
    Goal.objects.select_for_update().get(pk=training.goal_id)
    found = Export.objects.select_related("job").filter(training=training, form=form).first()
    if found and (found.job.is_active or found.is_ready):
        return found
    if found:
        found.delete()  # with its job and whatever it left
    job = jobs.create(
        team=training.goal.team,
        kind=Kind.EXPORT,
        spec={},
        title=_("Export of training %(n)d, %(form)s")
        % {"n": training.number, "form": Form(form).label},
    )
    return Export.objects.create(training=training, form=form, job=job, by=by)


def stop(*, export: Export) -> None:
    jobs.ask_stop(export.job)


def delete(*, export: Export) -> None:
    """Its file goes too; it can be made again."""
    export.delete()


def require_prompts(goal: Goal) -> list[list[Message]]:
    """What the export is held against: prompts to practise on, never those of the test."""
    asked = [list(one.messages) for one in practice.prompts(goal)]
    asked = asked or [[{"role": "user", "content": pair["prompt"]}] for pair in goal.pairs]
    if not asked:
        raise PlainError(
            _(
                "An export is checked on practice prompts before it is given out, and this goal "
                "has none. Move some examples to practice in step 2."
            ),
            status=409,
        )
    return asked


def file_name(training: Training) -> str:
    """Without an ending: of folders and files inside."""
    return f"{slugify(training.goal.name)[:40] or 'goal'}-training-{training.number}"

"""Creates and cancels batches."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team
from finetune_app.api_keys.models import ApiKey
from finetune_app.batches.models import ENDED, Batch
from finetune_app.core.errors import PlainError
from finetune_app.fine_tuning_api.models import ApiFile
from finetune_app.jobs import services as jobs

COMPLETION_WINDOW = "24h"  # the only one that OpenAI has
WINDOW = timedelta(hours=24)
MAX_UNFINISHED = 50  # batches of a team
CAN_CANCEL = (Batch.Status.VALIDATING, Batch.Status.IN_PROGRESS)


def start_batch(
    *,
    key: ApiKey,
    endpoint: str,
    input_file: ApiFile,
    metadata: dict[str, str],
    output_lifetime: timedelta | None,
) -> Batch:
    """A queued batch; its file is read by its job.

    Raises PlainError if too many of the team's batches are unfinished.
    """
    with transaction.atomic():
        # Locked, so that two requests at once do not both find the last place.
        Team.objects.select_for_update().get(pk=key.team_id)
        if key.team.batches.exclude(status__in=ENDED).count() >= MAX_UNFINISHED:
            raise PlainError(
                _("%(n)d batches of your team are not finished. Wait for one, or cancel one.")
                % {"n": MAX_UNFINISHED},
                status=429,
            )
        title = _("Batch of %(file)s") % {"file": input_file.name}
        return Batch.objects.create(
            team=key.team,
            key=key,
            job=jobs.create(team=key.team, kind="batch", title=title, spec={}),
            endpoint=endpoint,
            input_file=input_file,
            input_id=input_file.api_id,
            output_lifetime=output_lifetime,
            metadata=metadata,
            expires_at=timezone.now() + WINDOW,
        )


def cancel_batch(*, batch: Batch) -> None:
    """What is answered already is kept. A batch that is being cancelled stays so.

    Raises PlainError if it has ended, or is about to.
    """
    with transaction.atomic():
        cancelled = Batch.objects.filter(pk=batch.pk, status__in=CAN_CANCEL).update(
            status=Batch.Status.CANCELLING, cancelling_at=timezone.now()
        )
        if cancelled:
            jobs.ask_stop(batch.job)
    batch.refresh_from_db()
    if not cancelled and batch.status != Batch.Status.CANCELLING:
        raise PlainError(
            _("The batch %(id)s is %(status)s and cannot be cancelled.")
            % {"id": batch.api_id, "status": batch.status},
            status=409,
        )

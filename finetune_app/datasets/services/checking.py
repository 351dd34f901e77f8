"""The thorough check: every row, also with what takes a heavy library, as a job."""

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.datasets import checks
from finetune_app.datasets.models import Dataset
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job


def start_check(dataset: Dataset) -> Job:
    """Queue one; a second click returns the one that is under way."""
    with transaction.atomic():
        locked = Dataset.objects.select_for_update().get(pk=dataset.pk)
        if locked.check_job and locked.check_job.is_active:
            return locked.check_job
        job = jobs.create(
            team=dataset.goal.team,
            kind="check",
            title=_("Check of the examples of “%s”") % dataset.goal.name[:60],
            spec={"dataset": dataset.pk},
        )
        Dataset.objects.filter(pk=dataset.pk).update(check_job=job)
    dataset.check_job = job
    return job


def check_all(dataset: Dataset) -> None:
    """What is quick at once, where the set is small enough; the rest as a job."""
    checks.after_edit(dataset)
    if dataset.examples.usable().exists():
        start_check(dataset)


def stop_check(dataset: Dataset) -> None:
    """What was found before stays."""
    if dataset.check_job and dataset.check_job.is_active:
        jobs.cancel(dataset.check_job)

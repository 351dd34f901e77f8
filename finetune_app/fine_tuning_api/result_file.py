"""The result file of a job: its metrics for each step as CSV, in OpenAI's columns."""

import csv
import io

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from finetune_app.fine_tuning_api.models import ApiFile, FineTuningJob, Purpose
from finetune_app.training.models import Training

# The accuracies stay empty: trainings here measure no share of right tokens.
COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")
NAME = "step_metrics.csv"


def write_result_file(job: FineTuningJob) -> ApiFile:
    """Stores the file of a job that has succeeded, and returns it."""
    assert job.training is not None
    content = metrics_csv(job.training)
    file = ApiFile(team=job.team, name=NAME, purpose=Purpose.RESULTS, size=len(content))
    file.storage_path = default_storage.save(file.path_of_upload, ContentFile(content))
    file.save()
    FineTuningJob.objects.filter(pk=job.pk).update(result_file=file)
    return file


def metrics_csv(training: Training) -> bytes:
    """A line for each step; `valid_loss` is empty at steps without validation."""
    text = io.StringIO()
    lines = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    lines.writeheader()
    for point in training.points.exclude(loss=None):  # step 0 is the base model
        lines.writerow(
            {"step": point.step, "train_loss": point.loss, "valid_loss": point.validation_loss}
        )
    return text.getvalue().encode()

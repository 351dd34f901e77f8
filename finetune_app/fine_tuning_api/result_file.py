"""The result file of a job: its metrics for each step as CSV, in OpenAI's columns."""

import csv
import io

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from finetune_app.fine_tuning_api.models import ApiFile, FineTuningJob, Purpose
from finetune_app.training.models import Training

# OpenAI's columns, and the fields of a point of the curve.
COLUMNS = {
    "step": "step",
    "train_loss": "loss",
    "train_accuracy": "accuracy",
    "valid_loss": "validation_loss",
    "valid_mean_token_accuracy": "validation_accuracy",
}
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
    """A line for each step; what was not measured at a step is empty."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    measured = training.points.exclude(loss=None)  # step 0 is the base model
    lines.writerows(measured.values_list(*COLUMNS.values()))
    return text.getvalue().encode()

"""The metrics of a job that has succeeded, as a file of /v1/files, through OpenAI's own client."""

from pathlib import Path

import openai
import pytest
from django.conf import settings as configured

from finetune_app.fine_tuning_api.models import ApiFile
from finetune_app.goals.models import Goal
from tests.fine_tuning_api.uploads import training_of, upload
from tests.journey import end, write

HEADER = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n"


@pytest.fixture
def job(client):
    """A job that has succeeded, after four steps."""
    made = client.fine_tuning.jobs.create(model="starter", training_file=upload(client).id)
    assert made.result_files == []
    training = training_of(made)
    training.points.create(step=0, validation_loss=3.5)
    training.points.create(step=1, loss=3.0, accuracy=0.25)
    training.points.create(
        step=2, loss=2.5, accuracy=0.5, validation_loss=2.75, validation_accuracy=0.375
    )
    write(f"{training.adapter_folder}/adapter_model.safetensors", "weights")
    end(training.job, adapter="adapter", tokens=9, seconds=3, number_format="bf16")
    return client.fine_tuning.jobs.retrieve(made.id)


def test_the_metrics_of_each_step_are_a_csv_file(client, job):
    [file_id] = job.result_files
    file = client.files.retrieve(file_id)
    assert (file.purpose, file.filename) == ("fine-tune-results", "step_metrics.csv")
    content = client.files.content(file_id)
    assert content.text == HEADER + "1,3.0,0.25,,\n2,2.5,0.5,2.75,0.375\n"
    assert file.bytes == len(content.content)
    assert "step_metrics.csv" in content.response.headers["content-disposition"]


def test_it_is_listed_by_its_purpose(client, job):
    listed = client.files.list(purpose="fine-tune-results")
    assert [one.id for one in listed] == job.result_files
    assert job.training_file in [one.id for one in client.files.list(purpose="fine-tune")]


def test_a_second_report_of_the_same_result_writes_no_second_file(client, job):
    end(training_of(job).job, adapter="adapter", tokens=9, seconds=3, number_format="bf16")
    assert len(client.files.list(purpose="fine-tune-results").data) == 1


def test_a_deleted_file_is_no_result_any_more(client, job):
    client.files.delete(job.result_files[0])
    assert client.fine_tuning.jobs.retrieve(job.id).result_files == []


def test_it_is_deleted_with_the_goal(client, job):
    stored = Path(configured.DATA_DIR) / ApiFile.objects.get(result_of__isnull=False).storage_path
    assert stored.exists()
    Goal.objects.get().delete()
    assert not stored.exists()
    assert client.files.list(purpose="fine-tune-results").data == []


def test_metrics_are_no_training_file(client, job):
    with pytest.raises(openai.BadRequestError, match="fine-tune-results") as refused:
        client.fine_tuning.jobs.create(model="starter", training_file=job.result_files[0])
    assert refused.value.param == "training_file"


def test_metrics_cannot_be_uploaded(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("x.csv", HEADER.encode()), purpose="fine-tune-results")
    assert refused.value.param == "purpose"

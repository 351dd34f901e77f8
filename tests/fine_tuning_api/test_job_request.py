"""What a request for a job may ask, and what is refused by name, through OpenAI's own client."""

import openai
import pytest

from finetune_app.basemodels.estimates import automatic_for
from finetune_app.goals.models import Goal
from tests.fine_tuning_api.uploads import training_of, upload

ALL = {"n_epochs": 3, "batch_size": 200, "learning_rate_multiplier": 0.5}
WANDB = [{"type": "wandb", "wandb": {"project": "bikes"}}]


def create(client, **more):
    given = {"model": "starter", "training_file": upload(client).id} | more
    return client.fine_tuning.jobs.create(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"hyperparameters": ALL},
        {"method": {"type": "supervised", "supervised": {"hyperparameters": ALL}}},
    ],
)
def test_hyperparameters_are_numbers(client, given):
    job = create(client, **given)
    assert job.hyperparameters.model_dump() == ALL
    assert job.method.supervised.hyperparameters.model_dump() == ALL
    training = training_of(job)
    assert (training.spec["epochs"], training.spec["batch_size"]) == (3, 200)
    automatic = automatic_for(training.version, training.base_model).settings["learning_rate"]
    assert training.spec["learning_rate"] == automatic / 2


def test_automatic_hyperparameters_become_the_numbers_that_were_chosen(client):
    automatic = dict.fromkeys(ALL, "auto")
    job = create(client, hyperparameters=automatic)
    spec = training_of(job).spec
    assert job.hyperparameters.n_epochs == spec["epochs"]
    assert job.hyperparameters.batch_size == spec["batch_size"]
    assert job.hyperparameters.learning_rate_multiplier == 1.0


def test_a_failed_job_has_its_hyperparameters_as_they_were_asked(client):
    file = upload(client, b"nonsense\n").id
    asked = ALL | {"n_epochs": "auto"}
    job = create(client, training_file=file, hyperparameters=asked)
    assert job.status == "failed"
    assert job.hyperparameters.model_dump() == asked
    assert job.finished_at == job.created_at


def test_every_seed_is_taken_as_it_is(client):
    job = create(client, seed=0)
    assert (job.seed, training_of(job).spec["seed"]) == (0, 0)


def test_no_integrations_may_be_asked(client):
    assert create(client, integrations=[]).integrations == []


def supervised(**hyperparameters: object) -> dict:
    return {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}


def dpo(**hyperparameters: object) -> dict:
    return {"type": "dpo", "dpo": {"hyperparameters": hyperparameters}}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": "gpt-4o-mini"}, "model"),
        ({"hyperparameters": {"n_epochs": 0}}, "n_epochs"),
        ({"hyperparameters": {"n_epochs": 1.5}}, "n_epochs"),
        ({"hyperparameters": {"batch_size": 1000}}, "batch_size"),
        ({"hyperparameters": {"learning_rate_multiplier": 0}}, "learning_rate_multiplier"),
        ({"hyperparameters": {"learning_rate_multiplier": 11}}, "learning_rate_multiplier"),
        ({"hyperparameters": {"learning_rate_multiplier": "fast"}}, "learning_rate_multiplier"),
        ({"hyperparameters": {"beta": 0.1}}, "beta"),
        ({"hyperparameters": {"n_epochs": 1}, "method": supervised(n_epochs=2)}, "hyperparameters"),
        ({"method": supervised(beta=0.1)}, "beta"),
        ({"method": dpo(beta=3.0)}, "beta"),
        ({"method": dpo(beta=0.1) | {"type": "supervised"}}, "dpo"),
        ({"method": {"type": "magic"}}, "method"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"seed": -1}, "seed"),
        ({"metadata": {"a": "x" * 600}}, "metadata"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"extra_body": {"n_epochs": 4}}, "n_epochs"),
    ],
)
def test_invalid_parameters_are_refused_by_name(client, more, param):
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, **more)
    assert refused.value.param == param
    assert not Goal.objects.exists()


@pytest.mark.parametrize(
    ("more", "param", "why"),
    [
        ({"integrations": WANDB}, "integrations", "metrics are not sent to other services"),
        ({"method": {"type": "reinforcement"}}, "method", "Use supervised or dpo"),
    ],
)
def test_what_is_not_done_here_is_refused_in_words(client, more, param, why):
    with pytest.raises(openai.BadRequestError, match=why) as refused:
        create(client, **more)
    assert (refused.value.param, refused.value.type) == (param, "invalid_request_error")
    assert refused.value.code.startswith("unsupported_")
    assert not Goal.objects.exists()


def test_an_unknown_validation_file_is_named(client):
    with pytest.raises(openai.NotFoundError) as refused:
        create(client, validation_file="file-0")
    assert refused.value.param == "validation_file"


def test_an_invalid_validation_file_fails_the_job_as_such(client):
    job = create(client, validation_file=upload(client, b"nonsense\n").id)
    assert job.status == "failed"
    assert (job.error.code, job.error.param) == ("invalid_validation_file", "validation_file")

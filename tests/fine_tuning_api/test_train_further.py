"""A job that trains the tuned model of an earlier job further, through OpenAI's own client."""

import json
from pathlib import Path

import openai
import pytest
from django.conf import settings as configured
from django.urls import reverse

from finetune_app.jobs import lease
from finetune_app.jobs.handlers import handler_for
from finetune_app.training.models import Training
from tests.fine_tuning_api.uploads import training_of, upload
from tests.journey import end, write
from tests.worker.engine.tiny_models import make_base
from tests.worker.in_process_child import supervise_in_process


def start(client, model: str = "starter", **more):
    return client.fine_tuning.jobs.create(model=model, training_file=upload(client).id, **more)


@pytest.fixture
def tuned(client):
    """The first job, which has succeeded and kept another step."""
    job = start(client, suffix="mail")
    training = training_of(job)
    training.points.create(step=10, loss=1.0)
    write(f"{training.adapter_folder}/adapter_model.safetensors", "weights")
    end(training.job, adapter="adapter", tokens=9, seconds=3, kept_steps={"10": "b" * 64})
    return client.fine_tuning.jobs.retrieve(job.id)


def test_a_tuned_model_is_trained_further(client, tuned, as_owner):
    job = start(client, tuned.fine_tuned_model, suffix="more")
    assert (job.status, job.model) == ("queued", tuned.fine_tuned_model)
    training, first = training_of(job), training_of(tuned)
    assert training.starts_from == first
    assert training.goal != first.goal
    assert training.base_model == first.base_model
    spec = handler_for(training.job).child_spec(training.job).spec
    assert spec["start_adapter"].endswith(first.adapter_folder)
    assert (spec["rank"], spec["alpha"]) == (first.spec["rank"], first.spec["alpha"])
    page = reverse("training:detail", args=[training.goal_id, training.number])
    assert "goes on from training 1 of “mail”" in as_owner.get(page).content.decode()


def test_its_model_is_named_after_the_base_model(client, tuned):
    job = start(client, tuned.fine_tuned_model, suffix="more")
    training = training_of(job)
    write(f"{training.adapter_folder}/adapter_model.safetensors", "others")
    end(training.job, adapter="adapter", tokens=9, seconds=3)
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert done.fine_tuned_model.startswith("ft:starter:team-")
    assert ":more:" in done.fine_tuned_model
    assert {tuned.fine_tuned_model, done.fine_tuned_model} <= {
        model.id for model in client.models.list()
    }


def test_preferences_follow_examples(client, tuned):
    rows = [
        {
            "input": {"messages": [{"role": "user", "content": f"Is bike {n * 7919} ready?"}]},
            "preferred_output": [{"role": "assistant", "content": f"On day {n}."}],
            "non_preferred_output": [{"role": "assistant", "content": "Go away!"}],
        }
        for n in range(40)
    ]
    pairs = upload(client, b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    job = client.fine_tuning.jobs.create(
        model=tuned.fine_tuned_model, training_file=pairs.id, method={"type": "dpo"}
    )
    assert job.status == "queued"
    training = training_of(job)
    assert (training.method, training.starts_from) == ("dpo", training_of(tuned))


def test_a_checkpoint_and_a_whole_model_are_refused_in_words(client, tuned):
    with pytest.raises(openai.BadRequestError, match="it is a checkpoint") as refused:
        start(client, f"{tuned.fine_tuned_model}:ckpt-step-10")
    assert refused.value.param == "model"
    first = training_of(tuned)
    Training.objects.filter(pk=first.pk).update(spec=first.spec | {"tuning": "full"})
    with pytest.raises(openai.BadRequestError, match="every weight was trained"):
        start(client, tuned.fine_tuned_model)


def test_a_model_that_is_not_here_is_refused_with_those_that_are(client):
    for name in ("gpt-4o-mini", "ft:gpt-4o-mini:us::abc"):
        with pytest.raises(openai.BadRequestError, match="There are: starter") as refused:
            start(client, name)
        assert (refused.value.param, refused.value.code) == ("model", "model_not_available")


def test_another_team_cannot_train_it_further(client_of, stranger, tuned):
    with pytest.raises(openai.BadRequestError, match="is not installed here"):
        start(client_of(stranger), tuned.fine_tuned_model)


@pytest.mark.one_database
def test_both_trainings_run(client, base):
    make_base(Path(configured.DATA_DIR) / base.folder, "llama")
    model, losses = "starter", []
    for _run in range(2):
        job = start(client, model, hyperparameters={"n_epochs": 4, "learning_rate_multiplier": 3})
        supervise_in_process(lease.take_next(heavy=True, worker="a test"))
        done = client.fine_tuning.jobs.retrieve(job.id)
        assert done.status == "succeeded", done.error
        model = done.fine_tuned_model
        losses.append(training_of(done).points.exclude(loss=None).first().loss)
    assert losses[1] < losses[0]  # it begins with what was learned
    assert training_of(done).points.get(step=0).validation_loss is None

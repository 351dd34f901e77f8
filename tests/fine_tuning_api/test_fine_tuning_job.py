"""Fine-tuning jobs, through OpenAI's own client."""

import csv
import json
import threading
from datetime import timedelta
from pathlib import Path

import openai
import pytest
from django.conf import settings as configured
from django.db import connection
from django.utils import timezone

from finetune_app.fine_tuning_api import services
from finetune_app.fine_tuning_api.job_request import parse_job_request
from finetune_app.fine_tuning_api.lookup import ModelToTrain
from finetune_app.fine_tuning_api.models import ApiFile, FineTuningJob
from finetune_app.goals.models import Goal
from finetune_app.jobs import lease
from finetune_app.jobs.models import State
from finetune_app.training.models import Training
from tests.fine_tuning_api.uploads import lines, training_of, upload
from tests.journey import end, set_state, write
from tests.worker.engine.engine_server import SECRET, EngineServer
from tests.worker.engine.tiny_models import make_base
from worker import warm_child
from worker.supervise import Supervision

HELLO = [{"role": "user", "content": "My bike number 77 squeaks"}]


@pytest.fixture
def job(client):
    return client.fine_tuning.jobs.create(
        model="starter",
        training_file=upload(client).id,
        suffix="shop-mail",
        seed=5,
        metadata={"who": "a test"},
        hyperparameters={"n_epochs": 2, "batch_size": "auto"},
    )


def test_a_new_job_is_queued_and_creates_a_goal(job, client, as_owner):
    assert (job.object, job.status, job.model) == ("fine_tuning.job", "queued", "starter")
    assert (job.seed, job.user_provided_suffix) == (5, "shop-mail")
    assert job.metadata == {"who": "a test"}
    assert job.hyperparameters.n_epochs == 2
    assert job.fine_tuned_model is None
    assert client.fine_tuning.jobs.retrieve(job.id).id == job.id
    assert [one.id for one in client.fine_tuning.jobs.list()] == [job.id]
    assert "shop-mail" in as_owner.get("/").content.decode()
    training = training_of(job)
    assert training.spec["epochs"] == 2
    assert training.spec["seed"] == 5
    assert training.version.counts["test"] > 0  # some rows are held back


def test_the_files_are_read_before_the_transaction(client, monkeypatch):
    """On SQLite, nobody else can write while one is open."""
    inside = []
    read = services.read_training_rows

    def seen(*given):
        inside.append(connection.in_atomic_block)
        return read(*given)

    monkeypatch.setattr(services, "read_training_rows", seen)
    client.fine_tuning.jobs.create(model="starter", training_file=upload(client).id)
    assert inside == [False]


def test_a_file_too_large_to_be_checked_with_a_page_is_checked_and_trained_on(client, monkeypatch):
    monkeypatch.setattr("finetune_app.checks.services.MAX_ROWS_IN_REQUEST", 20)
    made = client.fine_tuning.jobs.create(model="starter", training_file=upload(client).id)
    assert (made.status, made.error) == ("queued", None)


def test_a_job_that_is_made_ready_is_listed_and_one_that_was_cut_off_has_failed(
    client, monkeypatch
):
    def killed(**_given):
        raise KeyboardInterrupt

    monkeypatch.setattr(services, "freeze_and_train", killed)
    file = ApiFile.objects.get(public_id=upload(client).id.removeprefix("file-"))
    with pytest.raises(KeyboardInterrupt):
        services.start_job(
            team=file.team,
            by=None,
            request=parse_job_request(
                json.dumps({"model": "starter", "training_file": file.api_id}).encode()
            ),
            model=ModelToTrain("starter"),
            files=services.read_files(file, None),
        )
    [listed] = client.fine_tuning.jobs.list()
    assert (listed.status, listed.error, listed.finished_at) == ("validating_files", None, None)
    FineTuningJob.objects.update(created_at=timezone.now() - timedelta(hours=2))
    [listed] = client.fine_tuning.jobs.list()
    assert (listed.status, listed.error.code) == ("failed", "cut_off")
    assert "Create it again" in listed.error.message


def test_a_validation_file_is_never_trained_on(client):
    held = upload(client, lines(20, 1000, "asked"), "held.jsonl")
    made = client.fine_tuning.jobs.create(
        model="starter", training_file=upload(client).id, validation_file=held.id
    )
    assert made.validation_file == held.id
    assert training_of(made).version.counts == {"train": 24, "validation": 10, "test": 10}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lines(4), "4 examples; at least 10"),
        (lines() + b"nonsense\n", "Line 25: It is not valid JSON"),
        (lines() + b'{"messages": []}\n', "Line 25"),
        (lines() + b'{"prompt": "x"}\n', "Line 25"),
        (lines() + b"[" * 100_000 + b"\n", "Line 25"),
        (lines() + b"\xff\xfe\n", "Line 25"),
    ],
)
def test_an_invalid_file_fails_the_job_with_its_line(client, content, why):
    made = client.fine_tuning.jobs.create(model="starter", training_file=upload(client, content).id)
    assert made.status == "failed"
    assert made.error.code == "invalid_training_file"
    assert why in made.error.message
    events = list(client.fine_tuning.jobs.list_events(made.id))
    assert events[0].level == "error"


def with_more(message: dict, asked: str = "Hello", **more: object) -> bytes:
    """A line whose answer has more keys, and the row too."""
    said = [{"role": "user", "content": asked}, {"role": "assistant", "content": "Hi"} | message]
    return json.dumps({"messages": said, **more}).encode() + b"\n"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (with_more({}, tools=[{"type": "function"}]), "Line 25: Tool 1 is not a function"),
        (with_more({"tool_calls": [{"id": "1"}]}), "Line 25: Call 1 of message 2 names"),
        (with_more({"function_call": {"name": "f"}}), "Line 25: It has “function_call”"),
        (with_more({}, non_preferred_output="Go!"), "Line 25: It has “non_preferred_output”"),
        (with_more({"weight": 0.5}), "Line 25: Message 2 has the weight 0.5"),
        (with_more({"weight": 0}), "Line 25: Every answer has the weight 0"),
    ],
)
def test_a_line_that_would_mean_something_else_fails_the_job(client, line, why):
    file = upload(client, lines() + line)
    made = client.fine_tuning.jobs.create(model="starter", training_file=file.id)
    assert (made.status, made.error.code) == ("failed", "invalid_training_file")
    assert made.error.param == "training_file"
    assert why in made.error.message


def preference(number: int, worse: str) -> bytes:
    """A line of OpenAI's preference format."""
    row = {
        "input": {"messages": [{"role": "user", "content": f"Is bike {number * 7919} ready?"}]},
        "preferred_output": [{"role": "assistant", "content": f"On day {number}."}],
        "non_preferred_output": [{"role": "assistant", "content": worse}],
    }
    return json.dumps(row).encode() + b"\n"


def test_lines_may_be_preference_pairs(client):
    content = b"".join(preference(n, "Go away!") for n in range(30))
    file = upload(client, content + with_more({}, rejected="Go away!"))
    made = client.fine_tuning.jobs.create(model="starter", training_file=file.id)
    assert made.status == "queued"
    events = list(client.fine_tuning.jobs.list_events(made.id))
    assert not [event for event in events if event.level == "warn"]
    version = training_of(made).version
    assert 0 < version.pairs == version.counts["train"]
    assert set(version.dataset.examples.values_list("rejected", flat=True)) == {"Go away!"}


def test_thoughts_of_better_answers_are_kept_and_those_of_worse_ones_are_reported(client):
    better = [
        json.loads(preference(n, "<think>Hm.</think>Go away!" if n < 4 else "Go away!"))
        for n in range(30)
    ]
    better[0]["preferred_output"][0]["reasoning_content"] = "It is day 0."
    file = upload(client, b"".join(json.dumps(row).encode() + b"\n" for row in better))
    made = client.fine_tuning.jobs.create(model="starter", training_file=file.id)
    assert made.status == "queued"
    [warned] = [e for e in client.fine_tuning.jobs.list_events(made.id) if e.level == "warn"]
    assert warned.message == (
        f"{file.id}: the non-preferred answer begins with a thought in 4 lines (1, 2, 3, …); it is "
        "left out."
    )
    examples = training_of(made).version.dataset.examples
    assert set(examples.values_list("rejected", flat=True)) == {"Go away!"}
    assert examples.get(number=1).messages[-1]["reasoning_content"] == "It is day 0."


def test_a_pair_of_the_same_answers_fails_the_job(client):
    file = upload(client, lines() + preference(3, "On day 3."))
    made = client.fine_tuning.jobs.create(model="starter", training_file=file.id)
    assert "Line 25: The better and the worse answer are the same." in made.error.message


def test_lines_may_be_prompts_with_completions(client):
    rows = [
        {"prompt": f"Is bike {n * 7919} ready?", "completion": f"On day {n}."} for n in range(30)
    ]
    rows[0]["note"] = "from Ida"
    file = upload(client, b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    made = client.fine_tuning.jobs.create(model="starter", training_file=file.id)
    assert made.status == "queued"
    example = training_of(made).version.dataset.examples.get(number=2)
    assert [(one["role"], one["content"]) for one in example.messages] == [
        ("user", "Is bike 7919 ready?"),
        ("assistant", "On day 1."),
    ]
    [warned] = [e for e in client.fine_tuning.jobs.list_events(made.id) if e.level == "warn"]
    assert "“note” in line 1 is not read" in warned.message


def test_other_keys_are_reported_as_events(client):
    file = upload(client, lines() + with_more({"name": "Ida"}, metadata={"a": "b"}))
    named = [with_more({"name": "Jo"}, asked) for asked in ("Good day", "Bye", "Which way?", "Why")]
    held = upload(client, lines(20, 1000, "asked") + b"".join(named), "held.jsonl")
    made = client.fine_tuning.jobs.create(
        model="starter", training_file=file.id, validation_file=held.id
    )
    warned = [e for e in client.fine_tuning.jobs.list_events(made.id) if e.level == "warn"]
    without = "is not read; the examples are learned without it."
    assert {event.message for event in warned} == {
        f"{file.id}: “name” in line 25 {without}",
        f"{file.id}: “metadata” in line 25 {without}",
        f"{held.id}: “name” in 4 lines (21, 22, 23, …) {without}",
    }
    assert len({event.id for event in warned}) == 3
    assert made.status == "queued"


def test_events_and_checkpoints_report_the_metrics(job, client):
    training = training_of(job)
    for step in (10, 20, 30):
        training.points.create(step=step, loss=3.0 / step, validation_loss=2.0)
    write(f"{training.adapter_folder}/adapter_model.safetensors", "weights")
    measured = {"tokens": 9000, "seconds": 30, "number_format": "bf16", "best_step": 20}
    end(training.job, adapter="adapter", kept_steps={"10": "b" * 64}, **measured)
    events = list(
        client.fine_tuning.jobs.list_events(job.id, limit=2)
    )  # the client reads several pages
    assert [one.type for one in events].count("metrics") == 3
    assert events[-1].message == "The job was created."
    assert events[0].message.startswith("New fine-tuned model created: ft:starter:")
    checkpoint, kept = client.fine_tuning.jobs.checkpoints.list(job.id)
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert done.status == "succeeded"
    assert done.trained_tokens == 9000
    assert checkpoint.fine_tuned_model_checkpoint == done.fine_tuned_model
    assert checkpoint.metrics.valid_loss == 2.0
    assert done.fine_tuned_model.startswith("ft:starter:")
    assert (checkpoint.step_number, kept.step_number) == (20, 10)
    assert kept.fine_tuned_model_checkpoint == f"{done.fine_tuned_model}:ckpt-step-10"
    listed = [model.id for model in client.models.list()]
    assert {done.fine_tuned_model, kept.fine_tuned_model_checkpoint} <= set(listed)


def test_a_running_job_says_when_it_will_be_done(job, client):
    training = training_of(job)
    assert job.estimated_finish is None  # it waits
    began = timezone.now() - timedelta(seconds=100)
    Training.objects.filter(pk=training.pk).update(estimate={"seconds": 1000})
    set_state(training.job, State.RUNNING, running_at=began)
    at_first = client.fine_tuning.jobs.retrieve(job.id)
    assert at_first.estimated_finish == int(began.timestamp()) + 1000
    set_state(training.job, State.RUNNING, running_at=began, done=50, total=100)
    later = client.fine_tuning.jobs.retrieve(job.id)
    assert 90 <= later.estimated_finish - timezone.now().timestamp() <= 120
    assert (later.trained_tokens, later.finished_at) == (None, None)
    set_state(training.job, State.CANCELLED)
    assert client.fine_tuning.jobs.retrieve(job.id).estimated_finish is None


def test_a_step_is_an_event_with_its_metrics_as_data(job, client):
    training = training_of(job)
    set_state(training.job, State.RUNNING, total=30, unit="steps", running_at=timezone.now())
    training.points.create(step=0, validation_loss=3.5)
    training.points.create(step=10, loss=0.125, validation_loss=2.0)
    training.points.create(step=11, loss=0.25, accuracy=0.75)
    events = client.fine_tuning.jobs.list_events(job.id, limit=100)
    metrics = [one for one in events if one.type == "metrics"]
    assert [(one.message, one.data) for one in metrics] == [
        (
            "Step 11/30: training loss=0.25",
            {
                "step": 11,
                "train_loss": 0.25,
                "train_mean_token_accuracy": 0.75,
                "total_steps": 30,
            },
        ),
        (
            "Step 10/30: training loss=0.12, validation loss=2.00",
            {"step": 10, "train_loss": 0.125, "valid_loss": 2.0, "total_steps": 30},
        ),
        ("Step 0/30: validation loss=3.50", {"step": 0, "valid_loss": 3.5, "total_steps": 30}),
    ]
    recorded = training.points.get(step=11).recorded_at
    assert metrics[0].created_at == int(recorded.timestamp())
    assert {one.type for one in events} == {"message", "metrics"}


def test_a_failed_training_reports_its_error(job, client):
    training = training_of(job)
    set_state(training.job, State.FAILED, message="The disk is full.")
    found = client.fine_tuning.jobs.retrieve(job.id)
    assert found.status == "failed"
    assert found.error.message == "The disk is full."


def test_deleting_the_goal_deletes_the_job(job, client):
    Goal.objects.get().delete()
    with pytest.raises(openai.NotFoundError):
        client.fine_tuning.jobs.retrieve(job.id)


@pytest.mark.one_database
def test_a_trained_model_answers_without_being_deployed(client, base, settings):
    make_base(Path(configured.DATA_DIR) / base.folder, "llama")
    made = client.fine_tuning.jobs.create(
        model="starter",
        training_file=upload(client).id,
        hyperparameters={"n_epochs": 1},
    )
    taken = lease.take_next(heavy=True, worker="a test")
    assert taken.training == training_of(made)
    Supervision(taken, warm_child.new_light_child, threading.Event()).run()
    done = client.fine_tuning.jobs.retrieve(made.id)
    assert done.status == "succeeded", done.error
    steps = list(csv.DictReader(client.files.content(done.result_files[0]).text.splitlines()))
    losses = {int(row["step"]): float(row["train_loss"]) for row in steps}
    assert list(losses) == list(range(1, len(losses) + 1))
    assert all(0 <= float(row["train_accuracy"]) <= 1 for row in steps)
    assert any(row["valid_mean_token_accuracy"] for row in steps)
    events = client.fine_tuning.jobs.list_events(made.id, limit=100)
    told = {one.data["step"]: one.data for one in events if one.type == "metrics"}
    assert {told[step]["train_loss"] for step in losses} == set(losses.values())
    assert {one["total_steps"] for one in told.values()} == {len(losses)}
    assert done.trained_tokens > 0
    engine = EngineServer(Path(configured.DATA_DIR))
    settings.ENGINE_SOCKET, settings.ENGINE_SECRET = engine.socket, SECRET
    try:
        answer = client.chat.completions.create(
            model=done.fine_tuned_model, messages=HELLO, max_tokens=4
        )
    finally:
        engine.process.kill()
        engine.process.wait()
    assert answer.usage.completion_tokens > 0
    assert answer.model == done.fine_tuned_model


def test_a_dpo_job_learns_preferences(client):
    content = b"".join(preference(n, "Go away!") for n in range(40))
    made = client.fine_tuning.jobs.create(
        model="starter",
        training_file=upload(client, content).id,
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": 2}}},
    )
    assert made.status == "queued"
    assert made.method.type == "dpo"
    assert made.method.dpo.hyperparameters.beta == 0.2
    training = training_of(made)
    assert (training.method, training.spec["beta"], training.spec["epochs"]) == ("dpo", 0.2, 2)
    assert training.version.pairs >= 20


def test_a_dpo_job_without_preferences_fails_in_words(client):
    made = client.fine_tuning.jobs.create(
        model="starter", training_file=upload(client).id, method={"type": "dpo"}
    )
    assert made.status == "failed"
    assert "worse answer beside the better one" in made.error.message

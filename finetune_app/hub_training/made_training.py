"""What came back from the hub becomes a training of the goal, like one of this machine."""

import json
from collections import defaultdict
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.core.files import delete_folder, local_bytes, local_path
from finetune_app.hub_training.models import HubTraining
from finetune_app.hub_training.results import RESULT, progress_of
from finetune_app.jobs.models import Job, State
from finetune_app.training.best_step import step_name
from finetune_app.training.events import training_succeeded
from finetune_app.training.jobs import answer_of, measured_of
from finetune_app.training.models import Point, SampleAnswer, Training
from finetune_app.training.protocol import ADAPTER


def result_file(remote: HubTraining) -> str:
    return f"{remote.fetched_folder}/{RESULT}"


def make_training(remote: HubTraining) -> Training:
    """Called in the transaction in which the job succeeds: rows alone, since its files lie already
    where they stay, each held against its hash (results.fetch)."""
    told: dict[str, Any] = json.loads(local_path(result_file(remote)).read_text())
    result, hashes = told["result"], told["files"]
    result |= {"stopped": False, "adapter": ADAPTER, "machine": _machine(remote)}
    job = Job.objects.create(
        team=remote.goal.team,
        kind="training",
        title=remote.job.title,
        state=State.SUCCEEDED,
        message=_("Done."),
        result=result,
        started_at=remote.start_tried_at,
        running_at=remote.start_tried_at,
        ended_at=timezone.now(),
        done=result.get("steps") or 0,
        # One that ended early has done fewer steps than all of its passes have.
        total=max(progress_of(remote.events)[1], result.get("steps") or 0),
        unit="steps",
    )
    training = Training(
        goal=remote.goal,
        number=remote.number,
        version=remote.version,
        base_model=remote.base_model,
        job=job,
        spec=remote.spec,
        stored_in=remote.fetched_folder,
        started_by=remote.agreed_by,
    )
    training.adapter_sha256 = hashes[f"{ADAPTER}/{training.weights_file}"]
    training.size = local_bytes(training.folder)
    warnings = (event["text"] for event in remote.events if event["event"] == "warning")
    training.warnings = list(dict.fromkeys(warnings))
    training.save()
    _record(remote, training, result, hashes)
    HubTraining.objects.filter(pk=remote.pk).update(training=training)
    training_succeeded.send(Training, training=training)
    return training


def _record(
    remote: HubTraining, training: Training, result: dict[str, Any], hashes: dict[str, str]
) -> None:
    """The curve and the sample answers. In a few statements: on SQLite nobody else can write
    meanwhile, not even the heartbeat of another training."""
    points: dict[int, dict[str, Any]] = defaultdict(dict)
    answers: dict[tuple[int, int], dict[str, Any]] = {}
    for event in remote.events:  # a later one of the same step counts
        if event["event"] == "point":
            points[event["step"]] |= measured_of(event)
        elif event["event"] == "sample":
            answers[event["step"], event["index"]] = answer_of(event)
    for step, sha256 in (result.get("kept_steps") or {}).items():
        if step.isdecimal() and len(step) < 10 and int(step) in points:
            file = f"steps/{step_name(int(step))}/{training.weights_file}"
            if hashes.get(file) == sha256:
                points[int(step)]["adapter_sha256"] = sha256
    Point.objects.bulk_create(
        Point(training=training, step=step, **fields) for step, fields in points.items()
    )
    SampleAnswer.objects.bulk_create(
        SampleAnswer(training=training, step=step, index=index, **fields)
        for (step, index), fields in answers.items()
    )


def delete_unused(sender: type[HubTraining], instance: HubTraining, **kwargs: Any) -> None:
    """What came back and became no training is deleted with its record."""
    if instance.training_id is None:
        transaction.on_commit(lambda: delete_folder(instance.fetched_folder), robust=True)


def _machine(remote: HubTraining) -> str:
    return _("Hugging Face Jobs, %(flavor)s") % {"flavor": remote.flavor}

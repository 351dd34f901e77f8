"""The handler of training jobs: the child's spec, its events and its result."""

from typing import Any, cast

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from finetune_app.basemodels.automatic_settings import LORA
from finetune_app.basemodels.models import Speed
from finetune_app.core.errors import PlainError
from finetune_app.core.files import (
    delete_folder,
    local_bytes,
    local_folder,
    local_path,
    publish_folder,
    sha256_of,
)
from finetune_app.core.machine import this_machine
from finetune_app.jobs.handlers import ChildSpec, Event, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job, State
from finetune_app.training.answer_length import max_new_tokens
from finetune_app.training.events import training_succeeded
from finetune_app.training.lineage import EARLIER_VERSIONS
from finetune_app.training.models import Point, SampleAnswer, Training
from finetune_app.training.protocol import (
    EVERYDAY,
    REFERENCE,
    CurvePoint,
    SampleEvent,
    TrainingResult,
)

# Parts of the spec that the child does not get.
RECORD_ONLY = (
    "base_model_sha256",
    "version_sha256",
    "start_adapter_sha256",
    "search",
    EARLIER_VERSIONS,
)
MAX_WHY_CHARACTERS = 200
DELETED_START = _("The training that this one goes on from was deleted. Train again.")


class TrainingHandler(JobHandler):
    kind = JobKind(
        name="training",
        runner="worker.training.loop",
        progress=("checkpoints", "steps", EVERYDAY, REFERENCE),
        heavy=True,
        interrupted=_("The training stopped unexpectedly; continuing from the last checkpoint."),
    )

    def child_spec(self, job: Job) -> ChildSpec:
        """The frozen spec, with the paths on this machine; see `worker/training/spec.py`.

        Raises PlainError when the training that it goes on from is gone.
        """
        training = Training.objects.select_related(
            "base_model", "version", "goal", "starts_from"
        ).get(job=job)
        spec = {name: value for name, value in training.spec.items() if name not in RECORD_ONLY}
        folder = settings.DATA_DIR / training.folder
        folder.mkdir(parents=True, exist_ok=True)
        return ChildSpec(
            folder=folder,
            spec=spec
            | {
                "base_model": str(local_folder(training.base_model.folder)),
                "version": str(local_path(training.version.stored_name)),
                "max_new_tokens": max_new_tokens(training.goal.measure, training.version),
                "start_adapter": _start_adapter(training),
            },
        )

    def record(self, job: Job, event: Event) -> None:
        """Store a point, a warning or a sample answer. A resumed child may send them again."""
        training = Training.objects.get(job=job)
        if event["event"] == "point":
            _record_point(training, cast(CurvePoint, event))
        elif event["event"] == "sample":
            _record_sample(training, cast(SampleEvent, event))
        elif event["event"] == "warning" and event["text"] not in training.warnings:
            training.warnings.append(event["text"])
            training.save(update_fields=["warnings"])

    def before_finish(self, job: Job, result: Result) -> None:
        """Read what was learned, for its hash and size, and upload it to the storage: either may
        take a while."""
        if not _has_learned(result):
            return
        training = Training.objects.get(job=job)
        learned = (training.result_folder, f"{training.folder}/steps")
        weights = settings.DATA_DIR / training.result_folder / training.weights_file
        result["sha256"] = sha256_of(weights)
        result["size"] = sum(map(local_bytes, learned))
        for folder in learned:
            publish_folder(folder)

    def finish(self, job: Job, result: Result) -> None:
        """Record hash and size of what was learned, machine and measured speed, unless stopped.

        Idempotent: a second call changes nothing.
        """
        training = Training.objects.select_related("base_model").get(job=job)
        found = cast(TrainingResult, result)
        if training.adapter_sha256 or not _has_learned(result):
            return
        training.adapter_sha256, training.size = found["sha256"], found["size"]
        training.save(update_fields=["adapter_sha256", "size"])
        for step, sha256 in found.get("kept_steps", {}).items():
            training.points.filter(step=int(step)).update(adapter_sha256=sha256)
        training_succeeded.send(Training, training=training)
        _delete_after_commit(f"{training.folder}/checkpoints")  # nobody goes on from them any more
        machine = this_machine()  # the supervisor runs on the machine that trained
        Job.objects.filter(pk=job.pk).update(result={**result, "machine": machine.words})
        # Estimates are for LoRA; the others compute in other ways.
        is_lora = training.spec.get("tuning", LORA) == LORA
        work = found.get("work") or found.get("tokens")
        if is_lora and found.get("seconds") and work:
            Speed.objects.create(
                base_model=training.base_model,
                what="training",
                device=machine.device,
                tokens_per_second=work / found["seconds"],
                tokens_per_step=work / (found.get("steps") or 1),
                peak_memory_bytes=found.get("peak_memory_bytes") or 0,
                number_format=found.get("number_format", ""),
            )

    def fail(self, job: Job) -> None:
        """A failed training may be continued; of a cancelled one nothing is of use."""
        if job.state == State.CANCELLED:
            _delete_after_commit(Training.objects.get(job=job).folder)


def _has_learned(result: Result) -> bool:
    return bool(result.get("adapter") or result.get("model")) and not result.get("stopped")


def _delete_after_commit(folder: str) -> None:
    transaction.on_commit(lambda: delete_folder(folder), robust=True)


def _start_adapter(training: Training) -> str | None:
    """Folder of the adapter that it goes on from; None for a new one. Raises PlainError."""
    pinned = training.spec.get("start_adapter_sha256")
    if not pinned:
        return None
    earlier = training.starts_from
    if earlier is None or earlier.adapter_sha256 != pinned:
        raise PlainError(str(DELETED_START))
    return str(local_folder(earlier.adapter_folder))


def measured_of(point: CurvePoint) -> dict[str, Any]:
    """Fields of a Point; without those that this event does not tell."""
    names = (
        "epoch",
        "loss",
        "accuracy",
        "validation_loss",
        "validation_accuracy",
        "validation_score",
        "general_ability",
        "tokens_per_second",
        "memory_bytes",
    )
    return {name: point.get(name) for name in names if point.get(name) is not None}


def answer_of(sample: SampleEvent) -> dict[str, Any]:
    """Fields of a SampleAnswer."""
    return {
        "prompt": sample["prompt"],
        "wanted": sample["wanted"],
        "answer": sample["answer"],
        "passed": sample.get("passed"),
        "why": (sample.get("why") or "")[:MAX_WHY_CHARACTERS],
    }


def _record_point(training: Training, point: CurvePoint) -> None:
    Point.objects.update_or_create(
        training=training, step=point["step"], defaults=measured_of(point)
    )


def _record_sample(training: Training, sample: SampleEvent) -> None:
    SampleAnswer.objects.update_or_create(
        training=training,
        step=sample["step"],
        index=sample["index"],
        defaults=answer_of(sample),
    )

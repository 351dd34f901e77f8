"""What a worker asks and tells about a training."""

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from finetune_app.basemodels.models import Speed
from finetune_app.core.files import local_folder, local_path, publish_folder, sha256_of
from finetune_app.jobs.handlers import ChildSpec, Event, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job
from finetune_app.training.models import Point, SampleAnswer, Training
from finetune_app.training.services import max_new_tokens

MEASURED = ("epoch", "loss", "validation_loss", "tokens_per_second", "memory_bytes")


class TrainingHandler(JobHandler):
    kind = JobKind(
        name="training",
        runner="worker.training.loop",
        heavy=True,
        interrupted=_("The training stopped unexpectedly; going on from the last checkpoint."),
    )

    def child_spec(self, job: Job) -> ChildSpec:
        training = Training.objects.select_related("base_model", "version", "goal").get(job=job)
        kept = ("base_model_sha256", "version_sha256")
        spec = {name: value for name, value in training.spec.items() if name not in kept}
        folder = settings.DATA_DIR / training.folder
        folder.mkdir(parents=True, exist_ok=True)
        return ChildSpec(
            folder=folder,
            spec=spec
            | {
                "base_model": str(local_folder(training.base_model.folder)),
                "version": str(local_path(training.version.stored_name)),
                "max_new_tokens": max_new_tokens(training.goal.measure, training.version),
            },
        )

    def record(self, job: Job, event: Event) -> None:
        """Points of the curve, sample answers and warnings; a resumed child may repeat them."""
        training = Training.objects.get(job=job)
        if event["event"] == "point":
            found = {name: event[name] for name in MEASURED if event.get(name) is not None}
            Point.objects.update_or_create(training=training, step=event["step"], defaults=found)
        elif event["event"] == "warning" and event["text"] not in training.warnings:
            training.warnings.append(event["text"])
            training.save(update_fields=["warnings"])
        elif event["event"] == "sample":
            found = {name: event.get(name) for name in ("prompt", "wanted", "answer", "passed")}
            SampleAnswer.objects.update_or_create(
                training=training,
                step=event["step"],
                index=event["index"],
                defaults=found | {"why": (event.get("why") or "")[:200]},
            )

    def before_finish(self, job: Job, result: Result) -> None:
        """The adapter goes to the store, which may take a while."""
        if result.get("adapter") and not result.get("stopped"):
            publish_folder(Training.objects.get(job=job).adapter_folder)

    def finish(self, job: Job, result: Result) -> None:
        """An adapter is there, unless it was stopped; the machine's speed is remembered.

        A second call changes nothing: what was tested stays what was trained.
        """
        training = Training.objects.select_related("base_model").get(job=job)
        if result.get("stopped") or not result.get("adapter") or training.adapter_sha256:
            return
        weights = settings.DATA_DIR / training.adapter_folder / "adapter_model.safetensors"
        training.adapter_sha256 = sha256_of(weights)
        training.save(update_fields=["adapter_sha256"])
        if result.get("seconds") and result.get("tokens"):
            Speed.objects.create(
                base_model=training.base_model,
                what="training",
                tokens_per_second=result["tokens"] / result["seconds"],
                peak_memory_bytes=result.get("peak_memory_bytes") or 0,
                number_format=result.get("number_format", ""),
            )

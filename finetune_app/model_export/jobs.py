"""Job handler of an export: what the worker gets, and what is stored of its result."""

from typing import Any, cast

from django.conf import settings

from finetune_app.candidates import services as candidates
from finetune_app.core.files import publish_folder
from finetune_app.jobs.handlers import ChildSpec, Event, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job
from finetune_app.model_export import model_card, services
from finetune_app.model_export.job_messages import ExportResult, ExportSpec
from finetune_app.model_export.models import ModelExport

MAX_NEW_TOKENS = 24  # of each answer that is compared


class ExportHandler(JobHandler):
    kind = JobKind(name="export", runner="worker.model_export.run", heavy=True)

    def child_spec(self, job: Job) -> ChildSpec:
        export = _export_of(job)
        training = export.training
        tuned = candidates.tuned_candidate(training=training, step=export.step)
        candidates.require_adapter(tuned)
        tested = candidates.candidate_spec(tuned)
        container, number_format = export.format.split("-", 1)
        base = training.base_model
        spec: ExportSpec = {
            "base_model": tested["base_model"] or "",
            "adapter": tested["adapter"],
            "in_4bit": training.is_qlora,
            "container": container,
            "number_format": number_format,
            "prompts": services.require_prompts(training.goal),
            "max_new_tokens": MAX_NEW_TOKENS,
            "thinking": tuned.thinking,
            "name": services.file_stem(training, export.step),
            "about": {
                "title": model_card.title(training, export.step),
                "goal": training.goal.name,
                "base": base.name,
                "licence": base.licence,
            },
            "card": model_card.card_text(training, model_card.KINDS[container], export.step),
        }
        return ChildSpec(settings.DATA_DIR / export.folder, cast(dict[str, Any], spec))

    def record(self, job: Job, event: Event) -> None:
        """Store the figures of the parity check, whether it passed or not."""
        if event["event"] == "parity":
            parity = {name: value for name, value in event.items() if name != "event"}
            ModelExport.objects.filter(job=job).update(parity=parity)

    def before_finish(self, job: Job, result: Result) -> None:
        """Upload the file to the object store, which may take a while."""
        if not result.get("stopped"):
            publish_folder(_export_of(job).folder)

    def finish(self, job: Job, result: Result) -> None:
        """Make the file available for download. A child whose check fails raises instead."""
        export = cast(ExportResult, result)
        if export.get("stopped") or not export["parity"]["passed"]:
            return
        ModelExport.objects.filter(job=job).update(
            file=export["file"],
            size=export["size"],
            sha256=export["sha256"],
            parity=export["parity"],
        )


def _export_of(job: Job) -> ModelExport:
    return ModelExport.objects.select_related(
        "training__goal__team", "training__base_model", "training__version", "training__job"
    ).get(job=job)

"""Job handler of a drift check: builds the worker's spec, and stores the result.

Live prompts go to the child process on its standard input and are not written to disk. The result
contains figures, ids of requests, and words that several prompts share.
"""

from django.conf import settings

from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.jobs.handlers import ChildSpec, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job
from finetune_app.monitoring import drift
from finetune_app.monitoring.models import DriftCheck

MAX_PROMPT_CHARACTERS = 2_000
RESULT_FIELDS = (
    "learned",
    "live",
    "auc",
    "by_chance",
    "drifted",
    "new_words",
    "missing_words",
    "odd",
)


class DriftHandler(JobHandler):
    kind = JobKind(name="drift", runner="worker.drift.run")

    def child_spec(self, job: Job) -> ChildSpec:
        """The spec is a worker.drift.run.DriftSpec."""
        check = DriftCheck.objects.select_related("deployment", "version").filter(job=job).first()
        if check is None:
            raise PlainError("The deployment is gone.")
        live = list(drift.live_prompts(check.deployment).values_list("pk", "prompt"))[::-1]
        return ChildSpec(
            folder=settings.DATA_DIR / "drift" / str(job.pk),  # stays empty
            spec={
                "version": str(local_path(check.version.stored_name)),
                "splits": [split.value for split in drift.COMPARED_SPLITS],
                "examples": drift.count_reference_prompts(check.version),
                "live": [[pk, prompt[:MAX_PROMPT_CHARACTERS]] for pk, prompt in live],
                "max_characters": MAX_PROMPT_CHARACTERS,
            },
        )

    def finish(self, job: Job, result: Result) -> None:
        """Store the result and remove it from the job, so that words of prompts are only where the
        deletion of texts finds them. Where that came first, they are not stored."""
        # Locked, so that a deletion of all texts either is seen here or finds the words.
        check = DriftCheck.objects.select_for_update().filter(job=job).first()
        if check:
            newest = result.get("newest", 0)
            fields = {name: result[name] for name in RESULT_FIELDS if name in result}
            if not drift.has_texts_until(check.deployment_id, newest):
                fields |= {"new_words": [], "odd": []}
            DriftCheck.objects.filter(pk=check.pk).update(newest=newest, **fields)
        Job.objects.filter(pk=job.pk).update(result={})

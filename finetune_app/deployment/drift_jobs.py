"""What a worker asks and tells about a comparison of prompts.

Live prompts go to the child on its input and are written nowhere; what comes back are figures,
the requests meant, and words that several prompts have.
"""

from django.conf import settings

from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path
from finetune_app.deployment.models import Drift
from finetune_app.deployment.monitoring import drift
from finetune_app.jobs.handlers import ChildSpec, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job

LONGEST = 2_000  # characters of a prompt that are compared
FOUND = ("learned", "live", "auc", "by_chance", "drifted", "new_words", "missing_words", "odd")


class DriftHandler(JobHandler):
    kind = JobKind(name="drift", runner="worker.drift.run")

    def child_spec(self, job: Job) -> ChildSpec:
        found = Drift.objects.select_related("deployment", "version").filter(job=job).first()
        if found is None:
            raise PlainError("The deployment is gone.")
        live = list(drift.live_prompts(found.deployment).values_list("pk", "prompt"))[::-1]
        return ChildSpec(
            folder=settings.DATA_DIR / "drift" / str(job.pk),  # nothing is written there
            spec={
                "version": str(local_path(found.version.stored_name)),
                "splits": [split.value for split in drift.LEARNED],
                "examples": drift.learned_count(found.version),
                "live": [[pk, prompt[:LONGEST]] for pk, prompt in live],
                "longest": LONGEST,
            },
        )

    def finish(self, job: Job, result: Result) -> None:
        """Words of prompts are kept in one place, where forgetting finds them."""
        given = {name: result[name] for name in FOUND if name in result}
        Drift.objects.filter(job=job).update(newest=result.get("newest", 0), **given)
        Job.objects.filter(pk=job.pk).update(result={})

"""The handler of the jobs in which a candidate answers each prompt twice."""

from typing import Any, cast

from django.conf import settings

from finetune_app.candidates import services as candidates
from finetune_app.core.engine_protocol import NUMBER_FORMATS_FILE
from finetune_app.jobs.handlers import ChildSpec, Event, JobHandler
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job
from finetune_app.preferences import runs
from finetune_app.preferences.job_messages import AnswersEvent, PreferenceSpec, SkippedEvent
from finetune_app.preferences.models import PreferenceRun

TEMPERATURE = 0.9  # high enough that two answers differ, low enough that both make sense


class PreferenceHandler(JobHandler):
    kind = JobKind(
        name="preferences",
        runner="worker.preferences.run",
        progress=(NUMBER_FORMATS_FILE,),
        heavy=True,
    )

    def child_spec(self, job: Job) -> ChildSpec:
        """The spec has the prompts that still wait for their answers."""
        run = PreferenceRun.objects.with_details().get(job=job)
        candidates.require_adapter(run.candidate)
        folder = settings.DATA_DIR / "preferences" / str(run.pk)
        folder.mkdir(parents=True, exist_ok=True)
        prompts = runs.prompts_to_answer(run)
        spec: PreferenceSpec = {
            "candidate": candidates.candidate_spec(run.candidate),
            "prompts": prompts,
            "made": run.answer_pairs.count() - len(prompts),
            "max_new_tokens": runs.max_new_tokens(run),
            "temperature": TEMPERATURE,
            "seed": run.pk,  # of another run, another: the same prompt is answered otherwise
        }
        return ChildSpec(folder, cast(dict[str, Any], spec))

    def record(self, job: Job, event: Event) -> None:
        """Store two answers, or why there are none. An event may be delivered twice."""
        if event["event"] == "answers":
            runs.store_answers(job, cast(AnswersEvent, event))
        elif event["event"] == "skipped":
            runs.store_skipped(job, cast(SkippedEvent, event))

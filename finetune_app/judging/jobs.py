"""The handler of judges' jobs: the child's spec, its events and its result."""

from typing import Any, cast

from django.conf import settings

from finetune_app.candidates import services as candidates
from finetune_app.candidates.answer_length import REMOTE_BATCH_TOKENS
from finetune_app.core.engine_protocol import NUMBER_FORMATS_FILE
from finetune_app.jobs.handlers import ChildSpec, Event, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job
from finetune_app.judging import services
from finetune_app.judging.calibration import given_choices
from finetune_app.judging.job_messages import GivenChoice, JudgeSpec
from finetune_app.judging.models import JudgeRun


class JudgeHandler(JobHandler):
    kind = JobKind(
        name="judge",
        runner="worker.judging.run",
        progress=(NUMBER_FORMATS_FILE,),
        heavy=True,
    )

    def child_spec(self, job: Job) -> ChildSpec:
        run = _run_of(job)
        folder = settings.DATA_DIR / "judging" / str(run.pk)
        folder.mkdir(parents=True, exist_ok=True)
        judge = candidates.candidate_spec(run.as_candidate())
        spec: JudgeSpec = {
            "judge": judge | {"id": run.pk},  # a judge is no stored candidate
            "pairs": services.pairs_of(run.evaluation),
            "given": given_choices(run),
            # Here one token is enough; a remote model may reason first.
            "max_new_tokens": REMOTE_BATCH_TOKENS if run.endpoint else 1,
        }
        return ChildSpec(folder, cast(dict[str, Any], spec))

    def record(self, job: Job, event: Event) -> None:
        if event["event"] == "choice":
            services.store_choice(job.judge_run, cast(GivenChoice, event))  # read once for all

    def finish(self, job: Job, result: Result) -> None:
        if not result.get("stopped"):
            services.store_judgement(_run_of(job))


def _run_of(job: Job) -> JudgeRun:
    return JudgeRun.objects.with_details().get(job=job)

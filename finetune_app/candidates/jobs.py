"""The handler of jobs in which a candidate suggests answers."""

from django.conf import settings

from finetune_app.candidates import services, suggestion_runs
from finetune_app.candidates.models import SuggestionRun
from finetune_app.core.engine_protocol import NUMBER_FORMATS_FILE
from finetune_app.jobs.handlers import ChildSpec, Event, JobHandler
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job
from finetune_app.labelling import suggestions


class SuggestHandler(JobHandler):
    kind = JobKind(
        name="suggest",
        runner="worker.suggesting.run",
        progress=(NUMBER_FORMATS_FILE,),
        heavy=True,
    )

    def child_spec(self, job: Job) -> ChildSpec:
        """The spec has the rows to ask; an earlier attempt may have asked some."""
        run = _run_of(job)
        services.require_adapter(run.candidate)
        folder = settings.DATA_DIR / "suggestions" / str(run.pk)
        folder.mkdir(parents=True, exist_ok=True)
        return ChildSpec(
            folder=folder,
            spec={
                "candidate": services.candidate_spec(run.candidate),
                "questions": suggestion_runs.prompts_to_answer(run),
                "made": suggestion_runs.count_asked(run),
                "max_new_tokens": suggestion_runs.max_new_tokens(run.goal, run.candidate),
            },
        )

    def record(self, job: Job, event: Event) -> None:
        """Store a suggestion, or that there is none. An event may be delivered twice."""
        if event["event"] == "suggestion":
            run = _run_of(job)
            suggestions.add_suggestion(
                example_id=event["row"],
                candidate_id=run.candidate_id,
                source=suggestion_runs.display_name(run.candidate),
                answer=event["text"],
            )
        elif event["event"] == "refused":
            suggestion_runs.record_refused(_run_of(job), event["row"])


def _run_of(job: Job) -> SuggestionRun:
    return SuggestionRun.objects.select_related(
        "goal",
        "candidate__base_model",
        "candidate__endpoint",
        "candidate__training",
        "candidate__knowledge",
    ).get(job=job)

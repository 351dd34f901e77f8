"""What a worker asks and tells about suggested answers."""

from typing import Any

from django.conf import settings

from finetune_app.candidates import services, suggesting
from finetune_app.candidates.models import SuggestionRun
from finetune_app.datasets.services import suggestions
from finetune_app.jobs.models import Job


def child_spec(job: Job) -> dict[str, Any]:
    """Which rows still wait is decided now; those of an earlier attempt have theirs."""
    run = _of(job)
    services.require_its_adapter(run.candidate)
    so_far = suggesting.made(run)
    folder = settings.DATA_DIR / "suggestions" / str(run.pk)
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "kind": job.kind,
        "folder": str(folder),
        "spec": {
            "candidate": services.for_engine(run.candidate),
            "questions": suggesting.questions(run, so_far),
            "made": so_far,
            "max_new_tokens": suggesting.tokens_for(run),
        },
    }


def record(job: Job, event: dict[str, Any]) -> None:
    """A suggestion as it comes; it may be repeated."""
    if event["event"] == "suggestion":
        run = _of(job)
        suggestions.add(
            example_id=event["row"],
            candidate_id=run.candidate_id,
            source=suggesting.name_of(run.candidate),
            answer=event["text"],
        )


def before_finish(job: Job, result: dict[str, Any]) -> None:
    """Nothing slow."""


def finish(job: Job, result: dict[str, Any]) -> None:
    """The suggestions are there already; nothing counts before a person takes it."""


def fail(job: Job) -> None:
    """Nothing to undo: what was suggested stays."""


def _of(job: Job) -> SuggestionRun:
    return SuggestionRun.objects.select_related(
        "goal",
        "candidate__base_model",
        "candidate__endpoint",
        "candidate__training",
        "candidate__knowledge",
    ).get(job=job)

"""/v1/fine_tuning/jobs: create, watch, pause, resume and cancel a training.

Source: OpenAI's API reference. States of ours become theirs: stopped is paused, preparing is
validating_files until the first step.
"""

from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils import timezone

from finetune_app.core.errors import PlainError
from finetune_app.core.requests import whole_number
from finetune_app.deployment import fine_tuning
from finetune_app.deployment.api import files
from finetune_app.deployment.api.access import api
from finetune_app.deployment.api.errors import ApiError
from finetune_app.deployment.api.schemas import read_json
from finetune_app.deployment.models import ApiJob, ApiKey
from finetune_app.jobs.models import State
from finetune_app.training.models import Point

STATUS = {
    State.QUEUED: "queued",
    State.PREPARING: "validating_files",
    State.RUNNING: "running",
    State.STOPPING: "running",
    State.STOPPED: "paused",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}
ACTIONS = {"pause": fine_tuning.pause, "resume": fine_tuning.resume, "cancel": fine_tuning.cancel}
MOST_LISTED = 100


@api("GET", "POST", action="fine_tuning")
async def jobs(request: HttpRequest, key: ApiKey) -> HttpResponseBase:
    work = _create if request.method == "POST" else _listing
    return JsonResponse(await sync_to_async(work)(request, files.whole_team(key)))


@api("GET", action="fine_tuning")
async def job(request: HttpRequest, key: ApiKey, job_id: str) -> HttpResponseBase:
    return JsonResponse(await sync_to_async(lambda: shown(find(key, job_id)))())


@api("POST", action="fine_tuning")
async def act(request: HttpRequest, key: ApiKey, job_id: str, action: str) -> HttpResponseBase:
    return JsonResponse(await sync_to_async(_act)(key, job_id, action))


@api("GET", action="fine_tuning")
async def events(request: HttpRequest, key: ApiKey, job_id: str) -> HttpResponseBase:
    found = await sync_to_async(lambda: _events(find(key, job_id)))()
    return JsonResponse(_page(request, found[::-1]))  # the newest first


@api("GET", action="fine_tuning")
async def checkpoints(request: HttpRequest, key: ApiKey, job_id: str) -> HttpResponseBase:
    found = await sync_to_async(lambda: _checkpoints(find(key, job_id)))()
    return JsonResponse(_page(request, found))


def find(key: ApiKey, job_id: str) -> ApiJob:
    """As it is now. Raises ApiError; another team's does not exist."""
    public_id = files.uuid_in(job_id, "ftjob-")
    rows = ApiJob.objects.filter(team=files.whole_team(key).team_id)
    rows = rows.select_related("training__job", "training__version")
    match = rows.filter(public_id=public_id).first() if public_id else None
    if match is None:
        raise ApiError(404, f"There is no job “{job_id[:80]}”.", code="job_not_found")
    return match


def _create(request: HttpRequest, key: ApiKey) -> dict[str, Any]:
    given = read_json(request.body)
    model, file_id = given.get("model"), given.get("training_file")
    for name, value in (("model", model), ("training_file", file_id)):
        if not isinstance(value, str) or not value:
            raise ApiError(400, f"“{name}” is missing.", param=name)
    validation = given.get("validation_file")
    try:
        made = fine_tuning.start(
            key=key,
            model=str(model),
            file=files.find(key, str(file_id)),
            validation=files.find(key, str(validation)) if validation else None,
            suffix=_suffix(given.get("suffix")),
            seed=_seed(given.get("seed")),
            asked=_asked(given),
            metadata=_metadata(given.get("metadata")),
        )
    except PlainError as problem:
        raise ApiError(problem.status, problem.message, param="model") from problem
    return shown(find(key, made.api_id))


def _act(key: ApiKey, job_id: str, action: str) -> dict[str, Any]:
    if action not in ACTIONS:
        raise ApiError(404, f"A job cannot “{action[:20]}”.", code="unknown_url")
    try:
        ACTIONS[action](job=find(key, job_id))
    except PlainError as problem:
        raise ApiError(409, problem.message) from problem
    return shown(find(key, job_id))


def _listing(request: HttpRequest, key: ApiKey) -> dict[str, Any]:
    rows = ApiJob.objects.filter(team=key.team_id).select_related(
        "training__job", "training__version"
    )
    return _page(request, [shown(row) for row in rows])


# ---- What was asked ----


def _asked(given: dict[str, Any]) -> dict[str, Any]:
    """{"n_epochs", "batch_size", "learning_rate_multiplier"}: numbers, or "auto"."""
    method = given.get("method") or {}
    if not isinstance(method, dict) or method.get("type", "supervised") != "supervised":
        raise ApiError(400, "The only “method” here is supervised.", param="method")
    inner = _object(method, "supervised").get("hyperparameters")
    found = _object({"hyperparameters": inner or given.get("hyperparameters")}, "hyperparameters")
    asked = {name: found.get(name, "auto") for name in ("n_epochs", "batch_size")}
    for name, most in (("n_epochs", 50), ("batch_size", 64)):
        value = asked[name]
        fits = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
        if value != "auto" and not fits:
            raise ApiError(400, f"“{name}” is “auto” or 1 to {most}.", param=name)
    if found.get("learning_rate_multiplier", "auto") not in ("auto", 1, 1.0):
        raise ApiError(
            400,
            "“learning_rate_multiplier” is not done here; leave it at “auto”.",
            param="learning_rate_multiplier",
        )
    return asked | {"learning_rate_multiplier": "auto"}


def _object(given: dict[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name) or {}
    if not isinstance(value, dict):
        raise ApiError(400, f"“{name}” must be a JSON object.", param=name)
    return value


def _suffix(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or not value.isprintable():
        raise ApiError(400, "“suffix” is a line of 1 to 64 characters.", param="suffix")
    return value


def _seed(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ApiError(400, "“seed” is a whole number.", param="seed")
    return value


def _metadata(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    texts = (
        isinstance(value, dict)
        and len(value) <= 16
        and all(
            isinstance(text, str) and len(text) <= 512 and len(name) <= 64
            for name, text in value.items()
        )
    )
    if not texts:
        raise ApiError(400, "“metadata” is up to 16 short texts by name.", param="metadata")
    return dict(value)


# ---- What is shown ----


def shown(job: ApiJob) -> dict[str, Any]:
    status, spec = status_of(job), job.training.spec if job.training else {}
    work = job.training.job if job.training else None
    ended = work.ended_at if work and status in ("succeeded", "failed", "cancelled") else None
    left = work.seconds_left if work else None
    used = {
        "n_epochs": spec.get("epochs", "auto"),
        "batch_size": spec.get("batch_size", "auto"),
        "learning_rate_multiplier": "auto",
    }
    return {
        "id": job.api_id,
        "object": "fine_tuning.job",
        "model": job.model,
        "status": status,
        "created_at": int(job.created_at.timestamp()),
        "finished_at": int(ended.timestamp()) if ended else None,
        "fine_tuned_model": job.tuned_name if status == "succeeded" else None,
        "organization_id": f"team-{job.team_id}",
        "result_files": [],
        "integrations": [],
        "hyperparameters": used,
        "seed": job.seed,
        "metadata": job.metadata,
        "method": {"type": "supervised", "supervised": {"hyperparameters": used}},
        "training_file": job.training_file,
        "validation_file": job.validation_file or None,
        "user_provided_suffix": job.suffix or None,
        "trained_tokens": work.result.get("tokens") if work and ended else None,
        "estimated_finish": int((timezone.now() + timedelta(seconds=left)).timestamp())
        if left
        else None,
        "error": _error(job),
    }


def status_of(job: ApiJob) -> str:
    return STATUS[State(job.training.job.state)] if job.training else "failed"


def _error(job: ApiJob) -> dict[str, Any] | None:
    if job.problem:
        return {"code": "invalid_training_file", "message": job.problem, "param": "training_file"}
    if status_of(job) == "failed":
        assert job.training is not None
        work = job.training.job
        return {"code": work.error_code or "failed", "message": work.message, "param": None}
    return None


def _events(job: ApiJob) -> list[dict[str, Any]]:
    """From the first to the last."""
    told = [_event(job, "created", job.created_at, "The job was created.")]
    if job.problem:
        told.append(_event(job, "refused", job.created_at, job.problem, level="error"))
    if job.training is None:
        return told
    work = job.training.job
    if work.running_at:
        told.append(_event(job, "started", work.running_at, "The training has started."))
    for point in job.training.points.all():
        told.append(_metrics(job, point, work.running_at or job.created_at))
    if work.ended_at:
        level = "error" if work.state == State.FAILED else "info"
        words = work.message or f"The job is {status_of(job)}."
        told.append(_event(job, "ended", work.ended_at, words, level=level))
    return told


def _event(job: ApiJob, name: str, at: Any, words: str, level: str = "info") -> dict[str, Any]:
    return {
        "object": "fine_tuning.job.event",
        "id": f"ftevent-{job.public_id.hex[:12]}-{name}",
        "created_at": int(at.timestamp()),
        "level": level,
        "message": words,
        "type": "message",
        "data": {},
    }


def _metrics(job: ApiJob, point: Point, at: Any) -> dict[str, Any]:
    data = {"step": point.step, "train_loss": point.loss, "valid_loss": point.validation_loss}
    words = (
        f"Step {point.step}: training loss {point.loss}"
        if point.loss is not None
        else (f"Step {point.step}: validation loss {point.validation_loss}")
    )
    return _event(job, f"step-{point.step}", at, words) | {"type": "metrics", "data": data}


def _checkpoints(job: ApiJob) -> list[dict[str, Any]]:
    """The one that is kept: what came of it, with the last figures."""
    if status_of(job) != "succeeded" or job.training is None:
        return []
    last = job.training.points.last()
    valid = job.training.points.exclude(validation_loss=None).last()
    return [
        {
            "object": "fine_tuning.job.checkpoint",
            "id": f"ftckpt-{job.public_id.hex}",
            "created_at": int((job.training.job.ended_at or job.created_at).timestamp()),
            "fine_tuned_model_checkpoint": job.tuned_name,
            "fine_tuning_job_id": job.api_id,
            "step_number": last.step if last else 0,
            "metrics": {
                "step": last.step if last else 0,
                "train_loss": last.loss if last else None,
                "valid_loss": valid.validation_loss if valid else None,
            },
        }
    ]


def _page(request: HttpRequest, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """OpenAI's cursor paging: `after` names the last row seen, `limit` how many are wanted."""
    limit = min(whole_number(request.GET.get("limit")) or 20, MOST_LISTED)
    after = request.GET.get("after")
    at = next((n + 1 for n, row in enumerate(rows) if row["id"] == after), 0)
    some = rows[at : at + limit]
    return {
        "object": "list",
        "data": some,
        "has_more": len(rows) > at + limit,
        "first_id": some[0]["id"] if some else None,
        "last_id": some[-1]["id"] if some else None,
    }

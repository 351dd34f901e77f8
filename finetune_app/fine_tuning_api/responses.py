"""Files, jobs, events and checkpoints in the format of OpenAI's API reference."""

from datetime import datetime, timedelta
from typing import TypedDict

from django.utils import timezone

from finetune_app.basemodels.automatic_settings import DPO
from finetune_app.fine_tuning_api.models import ApiFile, ApiUpload, ApiUploadPart, FineTuningJob
from finetune_app.gateway.json_body import JsonObject
from finetune_app.jobs.models import State
from finetune_app.training.models import Point

# OpenAI's status for each state of a job.
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
FINAL = ("succeeded", "failed", "cancelled")


class JobError(TypedDict):
    code: str
    message: str
    param: str | None


def file_object(file: ApiFile) -> JsonObject:
    found: JsonObject = {
        "id": file.api_id,
        "object": "file",
        "bytes": file.size,
        "filename": file.name,
        "created_at": _timestamp(file.created_at),
        "purpose": file.purpose,
        "status": "processed",
    }
    return found | ({"expires_at": _timestamp(file.expires_at)} if file.expires_at else {})


def upload_object(upload: ApiUpload) -> JsonObject:
    """With its `file` once it is completed."""
    found: JsonObject = {
        "id": upload.api_id,
        "object": "upload",
        "bytes": upload.size,
        "created_at": _timestamp(upload.created_at),
        "expires_at": _timestamp(upload.expires_at),
        "filename": upload.name,
        "purpose": upload.purpose,
        "status": "expired" if upload.is_expired else upload.status,
    }
    return found | ({"file": file_object(upload.file)} if upload.file else {})


def part_object(part: ApiUploadPart) -> JsonObject:
    return {
        "id": part.api_id,
        "object": "upload.part",
        "created_at": _timestamp(part.created_at),
        "upload_id": part.upload.api_id,
    }


def job_status(job: FineTuningJob) -> str:
    if job.training:
        return STATUS[State(job.training.job.state)]
    return "failed" if job.problem or job.was_cut_off else "validating_files"


def job_object(job: FineTuningJob) -> JsonObject:
    status = job_status(job)
    work = job.training.job if job.training else None
    is_final = status in FINAL
    ended_at = (work.ended_at if work else job.created_at) if is_final else None
    finish = _estimated_finish(job) if status == "running" else None
    hyperparameters = _hyperparameters(job)
    return {
        "id": job.api_id,
        "object": "fine_tuning.job",
        "model": job.model,
        "status": status,
        "created_at": _timestamp(job.created_at),
        "finished_at": _timestamp(ended_at) if ended_at else None,
        "fine_tuned_model": job.tuned_model_name if status == "succeeded" else None,
        "organization_id": f"team-{job.team_id}",
        "result_files": [job.result_file.api_id] if job.result_file else [],
        "integrations": [],
        "hyperparameters": hyperparameters,
        "seed": job.seed,
        "metadata": job.metadata,
        "method": {"type": job.method, job.method: {"hyperparameters": hyperparameters}},
        "training_file": job.training_file,
        "validation_file": job.validation_file or None,
        "user_provided_suffix": job.suffix or None,
        "trained_tokens": work.result.get("tokens") if work and is_final else None,
        "estimated_finish": _timestamp(finish) if finish else None,
        "error": _error(job),
    }


def _hyperparameters(job: FineTuningJob) -> JsonObject:
    """As requested; "auto" becomes the number that was chosen, once there is a training."""
    names = ["n_epochs", "batch_size", "learning_rate_multiplier"]
    names += ["beta"] if job.method == DPO else []
    asked = {name: job.hyperparameters.get(name, "auto") for name in names}
    if job.training is None:
        return asked
    spec = job.training.spec
    chosen = {
        "n_epochs": spec.get("epochs"),
        "batch_size": spec.get("batch_size"),
        "learning_rate_multiplier": 1.0,
        "beta": spec.get("beta"),
    }
    return {name: chosen[name] if asked[name] == "auto" else asked[name] for name in names}


def _estimated_finish(job: FineTuningJob) -> datetime | None:
    """By the speed so far; before there is one, by what was expected when the job was created."""
    assert job.training is not None
    work = job.training.job
    if (seconds_left := work.seconds_left) is not None:
        return timezone.now() + timedelta(seconds=seconds_left)
    expected = job.training.estimate.get("seconds")
    if not expected or not work.running_at:
        return None
    return max(timezone.now(), work.running_at + timedelta(seconds=expected))


def event_objects(job: FineTuningJob) -> list[JsonObject]:
    """The oldest first."""
    events = [_event(job, "created", job.created_at, "The job was created.")]
    events += [
        _event(job, f"unread-{number}", job.created_at, notice, level="warn")
        for number, notice in enumerate(job.notices, 1)
    ]
    if job.problem:
        events.append(_event(job, "refused", job.created_at, job.problem, level="error"))
    if job.training is None:
        return events
    work = job.training.job
    if work.running_at:
        events.append(_event(job, "started", work.running_at, "The training has started."))
    events += [_metrics_event(job, point) for point in job.training.points.all()]
    if work.ended_at:
        level = "error" if work.state == State.FAILED else "info"
        message = work.message or f"The job is {job_status(job)}."
        events.append(_event(job, "ended", work.ended_at, message, level=level))
    if job_status(job) == "succeeded" and work.ended_at:
        made = f"New fine-tuned model created: {job.tuned_model_name}"
        events.append(_event(job, "model", work.ended_at, made))
    return events


def checkpoint_objects(job: FineTuningJob) -> list[JsonObject]:
    """The finished model, which is the best step's, then the other steps that are kept, the last
    first. Each can be used by its name."""
    if job_status(job) != "succeeded" or job.training is None:
        return []
    points = job.training.points
    best_step = job.training.job.result.get("best_step")
    best = points.filter(step=best_step).first() or points.last()
    kept = points.kept().order_by("-step")
    return [
        _checkpoint(job, best, job.tuned_model_name, f"ftckpt-{job.public_id.hex}"),
        *(
            _checkpoint(
                job,
                point,
                job.checkpoint_name(point.step),
                f"ftckpt-{job.public_id.hex}-{point.step}",
            )
            for point in kept
        ),
    ]


def _checkpoint(
    job: FineTuningJob, point: Point | None, model_name: str, checkpoint_id: str
) -> JsonObject:
    assert job.training is not None
    step = point.step if point else 0
    return {
        "object": "fine_tuning.job.checkpoint",
        "id": checkpoint_id,
        "created_at": _timestamp(job.training.job.ended_at or job.created_at),
        "fine_tuned_model_checkpoint": model_name,
        "fine_tuning_job_id": job.api_id,
        "step_number": step,
        "metrics": _metrics(point) if point else {"step": step},
    }


def _metrics(point: Point) -> JsonObject:
    """What was measured at this step, by OpenAI's names."""
    measured = {
        "train_loss": point.loss,
        "train_mean_token_accuracy": point.accuracy,
        "valid_loss": point.validation_loss,
        "valid_mean_token_accuracy": point.validation_accuracy,
    }
    return {"step": point.step} | {
        name: value for name, value in measured.items() if value is not None
    }


def _error(job: FineTuningJob) -> JobError | None:
    if job.problem:
        param = job.problem_param
        return {"code": f"invalid_{param}", "message": job.problem, "param": param}
    if job.was_cut_off:
        message = "It was cut off before it was queued. Create it again."
        return {"code": "cut_off", "message": message, "param": None}
    if job.training and job_status(job) == "failed":
        work = job.training.job
        return {"code": work.error_code or "failed", "message": work.message, "param": None}
    return None


def _event(
    job: FineTuningJob, name: str, at: datetime, message: str, level: str = "info"
) -> JsonObject:
    return {
        "object": "fine_tuning.job.event",
        "id": f"ftevent-{job.public_id.hex[:12]}-{name}",
        "created_at": _timestamp(at),
        "level": level,
        "message": message,
        "type": "message",
        "data": {},
    }


def _metrics_event(job: FineTuningJob, point: Point) -> JsonObject:
    assert job.training is not None
    work = job.training.job
    metrics = _metrics(point)
    of_all = ""
    if work.total and work.unit == "steps":
        metrics["total_steps"] = int(work.total)
        of_all = f"/{work.total:.0f}"
    names = {"train_loss": "training loss", "valid_loss": "validation loss"}
    losses = [f"{said}={metrics[name]:.2f}" for name, said in names.items() if name in metrics]
    event = _event(
        job,
        f"step-{point.step}",
        point.recorded_at or work.running_at or job.created_at,
        f"Step {point.step}{of_all}: {', '.join(losses) or 'nothing was measured'}",
    )
    return event | {"type": "metrics", "data": metrics}


def _timestamp(at: datetime) -> int:
    return int(at.timestamp())

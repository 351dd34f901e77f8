"""Finds a team's files and jobs by their public ids."""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Prefetch

from finetune_app.api_keys.models import ApiKey
from finetune_app.fine_tuning_api.models import ApiFile, ApiUpload, FineTuningJob
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.model_lookup import TunedModel, base_models
from finetune_app.training.models import Point, Training


def require_team_key(key: ApiKey) -> ApiKey:
    """Raises ApiError for a key that is restricted to one deployment."""
    if key.deployment_id:
        raise ApiError(
            403,
            "This key opens one model alone. A person of your team can make one that may "
            "train, on the page of the team's keys.",
            code="key_not_allowed",
        )
    return key


def find_file(key: ApiKey, file_id: str, *, param: str | None = None) -> ApiFile:
    """Raises ApiError if the team has no such file. `param`: of the request, which named it."""
    public_id = parse_public_id(file_id, "file-")
    files = ApiFile.objects.filter(team=key.team_id).not_expired()
    file = files.filter(public_id=public_id).first() if public_id else None
    if file is None:
        raise ApiError(
            404, f"There is no file “{file_id[:80]}”.", code="file_not_found", param=param
        )
    return file


def find_upload(key: ApiKey, upload_id: str) -> ApiUpload:
    """Raises ApiError if the team has no such upload."""
    public_id = parse_public_id(upload_id, "upload_")
    uploads = ApiUpload.objects.filter(team=require_team_key(key).team_id).select_related("file")
    upload = uploads.filter(public_id=public_id).first() if public_id else None
    if upload is None:
        raise ApiError(404, f"There is no upload “{upload_id[:80]}”.", code="upload_not_found")
    return upload


@dataclass(frozen=True)
class ModelToTrain:
    """A base model, and the training whose adapter is trained further; None for a new adapter."""

    base_model: str
    starts_from: Training | None = None


def find_model_to_train(key: ApiKey, name: str) -> ModelToTrain:
    """Raises ApiError if there is no such model, or it cannot be trained further."""
    installed = [model.slug for model in base_models(key)]
    if name in installed:
        return ModelToTrain(name)
    tuned = next((model for model in tuned_models(key.team_id) if model.name == name), None)
    if tuned is None:
        raise _untrainable(
            f"“{name[:80]}” is not installed here. There are: {', '.join(installed) or 'none yet'}."
        )
    if tuned.step is not None or tuned.training.is_full:
        raise _untrainable(
            f"“{name[:80]}” cannot be trained further: it is a checkpoint, or a model of which "
            "every weight was trained. Give the finished model of a job, or a base model."
        )
    return ModelToTrain(tuned.training.base_model.slug, tuned.training)


def _untrainable(message: str) -> ApiError:
    return ApiError(400, message, param="model", code="model_not_available")


def find_job(key: ApiKey, job_id: str, *, param: str | None = None) -> FineTuningJob:
    """With the relations that its status needs. Raises ApiError if the team has no such job."""
    public_id = parse_public_id(job_id, "ftjob-")
    jobs = FineTuningJob.objects.filter(team=require_team_key(key).team_id).with_status()
    job = jobs.filter(public_id=public_id).first() if public_id else None
    if job is None:
        raise ApiError(404, f"There is no job “{job_id[:80]}”.", code="job_not_found", param=param)
    return job


def parse_public_id(api_id: str, prefix: str) -> UUID | None:
    """The UUID after `prefix`; None unless it is in the form that this API returns."""
    try:
        found = UUID(api_id.removeprefix(prefix))
    except ValueError:
        return None
    return found if api_id == f"{prefix}{found.hex}" else None


def tuned_models(team_id: int) -> list[TunedModel]:
    """The models that the team's jobs have trained, and their kept steps. Each can be used without
    being deployed."""
    jobs = FineTuningJob.objects.filter(team=team_id).with_adapter()
    found = []
    kept = Prefetch("training__points", Point.objects.kept(), to_attr="kept_points")
    jobs = jobs.select_related("training__goal", "training__base_model").prefetch_related(kept)
    for job in jobs:
        assert job.training is not None
        found.append(TunedModel(job.tuned_model_name, job.training, job.created_at))
        for point in job.training.kept_points:  # type: ignore[attr-defined]  # see Prefetch
            name = job.checkpoint_name(point.step)
            found.append(TunedModel(name, job.training, job.created_at, point.step))
    return found

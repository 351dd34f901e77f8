"""Finds a team's files and jobs by their public ids."""

from uuid import UUID

from django.db.models import Prefetch

from finetune_app.api_keys.models import ApiKey
from finetune_app.fine_tuning_api.models import ApiFile, ApiUpload, FineTuningJob
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.model_lookup import TunedModel
from finetune_app.training.models import Point


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

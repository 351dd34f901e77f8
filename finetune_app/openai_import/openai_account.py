"""Reads jobs and their files from a team's account on a platform with OpenAI's API."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from django.core.files.base import ContentFile, File
from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.openai_import.openai_job import JobDescription, job_from_object
from finetune_app.remote_training.models import PlatformAccount
from finetune_app.remote_training.platforms import platform_of
from finetune_app.remote_training.platforms.contract import PlatformError, UnknownJob

if TYPE_CHECKING:
    from finetune_app.remote_training.platforms.openai import OpenAIPlatform


@dataclass(frozen=True)
class ListedJob:
    """problem: why it cannot be taken over."""

    job_id: str
    name: str
    model: str
    state: str
    created_at: datetime | None
    problem: str = ""


def jobs_of(account: PlatformAccount) -> list[ListedJob]:
    """The newest first. Raises PlainError."""
    try:
        return [_listed(one) for one in _platform(account).jobs()]
    except PlatformError as problem:
        raise PlainError(problem.message, status=502) from None


def fetch(
    account: PlatformAccount, job_id: str
) -> tuple[JobDescription, "File[bytes]", "File[bytes] | None"]:
    """The job with its files. Raises PlainError."""
    platform = _platform(account)
    try:
        job = job_from_object(platform.job(job_id))
        if not job.training_file:
            raise PlainError(_("This job names no training file."), status=422)
        training = platform.file_content(job.training_file)
        validation = platform.file_content(job.validation_file) if job.validation_file else b""
    except UnknownJob:
        raise PlainError(
            _("The job or its file is not there any more. If you have the file, bring that."),
            status=422,
        ) from None
    except PlatformError as problem:
        raise PlainError(problem.message, status=502) from None
    return (
        job,
        ContentFile(training, name=f"{job.training_file}.jsonl"),
        ContentFile(validation, name=f"{job.validation_file}.jsonl") if validation else None,
    )


def _platform(account: PlatformAccount) -> "OpenAIPlatform":
    """account: one of those with OpenAI's API."""
    return cast("OpenAIPlatform", platform_of(account))


def _listed(given: dict[str, Any]) -> ListedJob:
    created = given.get("created_at")
    at = created if isinstance(created, int) and 0 < created < 2**33 else None
    try:
        job, problem = job_from_object(given), ""
    except PlainError as refused:
        job, problem = JobDescription(job_id=str(given.get("id", ""))[:200]), refused.message
    return ListedJob(
        job_id=job.job_id,
        name=job.name,
        model=job.model,
        state=str(given.get("status", ""))[:40],
        created_at=datetime.fromtimestamp(at, UTC) if at else None,
        problem=problem,
    )

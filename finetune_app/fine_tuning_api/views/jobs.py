"""/v1/fine_tuning/jobs: create, list, read, pause, resume and cancel fine-tuning jobs."""

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from finetune_app.api_keys.models import ApiKey
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import whole_number
from finetune_app.fine_tuning_api import services
from finetune_app.fine_tuning_api.job_request import parse_job_request
from finetune_app.fine_tuning_api.lookup import find_file, find_job, require_team_key
from finetune_app.fine_tuning_api.models import FineTuningJob
from finetune_app.fine_tuning_api.responses import (
    checkpoint_objects,
    event_objects,
    job_object,
    page_object,
)
from finetune_app.gateway.access import api_view
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject

ACTIONS = {
    "pause": services.pause_job,
    "resume": services.resume_job,
    "cancel": services.cancel_job,
}
DEFAULT_LISTED, MAX_LISTED = 20, 100


@api_view("GET", "POST", action="fine_tuning")
async def job_list(request: HttpRequest, key: ApiKey) -> HttpResponseBase:
    work = _create if request.method == "POST" else _list
    return JsonResponse(await sync_to_async(work)(request, require_team_key(key)))


@api_view("GET", action="fine_tuning")
async def job_detail(request: HttpRequest, key: ApiKey, job_id: str) -> HttpResponseBase:
    return JsonResponse(await sync_to_async(lambda: job_object(find_job(key, job_id)))())


@api_view("POST", action="fine_tuning")
async def job_action(
    request: HttpRequest, key: ApiKey, job_id: str, action: str
) -> HttpResponseBase:
    return JsonResponse(await sync_to_async(_act)(key, job_id, action))


@api_view("GET", action="fine_tuning")
async def job_events(request: HttpRequest, key: ApiKey, job_id: str) -> HttpResponseBase:
    events = await sync_to_async(lambda: event_objects(find_job(key, job_id)))()
    return JsonResponse(_page(request, events[::-1]))  # the newest first


@api_view("GET", action="fine_tuning")
async def job_checkpoints(request: HttpRequest, key: ApiKey, job_id: str) -> HttpResponseBase:
    checkpoints = await sync_to_async(lambda: checkpoint_objects(find_job(key, job_id)))()
    return JsonResponse(_page(request, checkpoints))


def _create(request: HttpRequest, key: ApiKey) -> JsonObject:
    asked = parse_job_request(request.body)
    validation_id = asked.validation_file
    try:
        job = services.start_job(
            key=key,
            request=asked,
            file=find_file(key, asked.training_file),
            validation_file=find_file(key, validation_id) if validation_id else None,
        )
    except PlainError as problem:
        raise ApiError(problem.status, problem.message, param="model") from problem
    return job_object(find_job(key, job.api_id))


def _act(key: ApiKey, job_id: str, action: str) -> JsonObject:
    if action not in ACTIONS:
        raise ApiError(404, f"A job cannot “{action[:20]}”.", code="unknown_url")
    try:
        ACTIONS[action](job=find_job(key, job_id))
    except PlainError as problem:
        raise ApiError(409, problem.message) from problem
    return job_object(find_job(key, job_id))


def _list(request: HttpRequest, key: ApiKey) -> JsonObject:
    jobs = FineTuningJob.objects.filter(team=key.team_id).with_status()
    return _page(request, [job_object(job) for job in jobs])


def _page(request: HttpRequest, objects: list[JsonObject]) -> JsonObject:
    limit = min(whole_number(request.GET.get("limit")) or DEFAULT_LISTED, MAX_LISTED)
    return page_object(objects, after=request.GET.get("after"), limit=limit)

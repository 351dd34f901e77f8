"""/v1/fine_tuning/jobs: create, list, read, pause, resume and cancel fine-tuning jobs."""

import re

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from finetune_app.api_keys.models import ApiKey
from finetune_app.core.errors import PlainError
from finetune_app.fine_tuning_api import services
from finetune_app.fine_tuning_api.job_request import parse_job_request
from finetune_app.fine_tuning_api.lookup import (
    find_file,
    find_job,
    find_model_to_train,
    require_team_key,
)
from finetune_app.fine_tuning_api.models import ApiFile, FineTuningJob, Purpose
from finetune_app.fine_tuning_api.responses import checkpoint_objects, event_objects, job_object
from finetune_app.gateway.access import api_view
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject
from finetune_app.gateway.pagination import (
    page_of_objects,
    page_of_rows,
    parse_page_request,
)

ACTIONS = {
    "pause": services.pause_job,
    "resume": services.resume_job,
    "cancel": services.cancel_job,
}
DEFAULT_LISTED, DEFAULT_CHECKPOINTS, MAX_LISTED = 20, 10, 100
METADATA_FILTER = re.compile(r"metadata\[(.*)\]", re.DOTALL)


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
    page = parse_page_request(request, default=DEFAULT_LISTED, maximum=MAX_LISTED)
    events = await sync_to_async(lambda: event_objects(find_job(key, job_id)))()
    return JsonResponse(page_of_objects(events[::-1], page))


@api_view("GET", action="fine_tuning")
async def job_checkpoints(request: HttpRequest, key: ApiKey, job_id: str) -> HttpResponseBase:
    page = parse_page_request(request, default=DEFAULT_CHECKPOINTS, maximum=MAX_LISTED)
    checkpoints = await sync_to_async(lambda: checkpoint_objects(find_job(key, job_id)))()
    return JsonResponse(page_of_objects(checkpoints, page))


def _create(request: HttpRequest, key: ApiKey) -> JsonObject:
    asked = parse_job_request(request.body)
    validation_id = asked.validation_file
    try:
        job = services.start_job(
            team=key.team,
            by=key.created_by,
            request=asked,
            model=find_model_to_train(key, asked.model),
            files=services.read_files(
                _file_to_learn(key, asked.training_file, "training_file"),
                _file_to_learn(key, validation_id, "validation_file") if validation_id else None,
            ),
        )
    except PlainError as problem:
        raise ApiError(problem.status, problem.message, param="model") from problem
    return job_object(find_job(key, job.api_id))


def _file_to_learn(key: ApiKey, file_id: str, param: str) -> ApiFile:
    """Raises ApiError if there is no such file, or it is the result of another job."""
    file = find_file(key, file_id, param=param)
    if file.purpose != Purpose.FINE_TUNE:
        raise ApiError(
            400,
            f"“{file_id}” has the purpose “{file.purpose}”. Upload examples with the purpose "
            f"“{Purpose.FINE_TUNE}”.",
            param=param,
        )
    return file


def _act(key: ApiKey, job_id: str, action: str) -> JsonObject:
    if action not in ACTIONS:
        raise ApiError(404, f"A job cannot “{action[:20]}”.", code="unknown_url")
    try:
        ACTIONS[action](job=find_job(key, job_id))
    except PlainError as problem:
        # Not tried again: OpenAI's clients repeat a request that got a 409.
        raise ApiError(409, problem.message, should_retry=False) from problem
    return job_object(find_job(key, job_id))


def _list(request: HttpRequest, key: ApiKey) -> JsonObject:
    jobs = FineTuningJob.objects.filter(team=key.team_id).with_status()
    wanted = _wanted_metadata(request)
    if wanted is not None:
        jobs = jobs.with_metadata(wanted)
    return page_of_rows(
        jobs,
        parse_page_request(request, default=DEFAULT_LISTED, maximum=MAX_LISTED),
        cursor=lambda job_id: find_job(key, job_id, param="after"),
        as_object=job_object,
    )


def _wanted_metadata(request: HttpRequest) -> dict[str, str] | None:
    """`metadata[name]=text`, any number of times; {} for `metadata=null`, which asks for jobs
    without metadata; None if the request does not ask."""
    if request.GET.get("metadata") == "null":
        return {}
    found = ((METADATA_FILTER.fullmatch(name), text) for name, text in request.GET.items())
    return {match[1]: str(text) for match, text in found if match} or None

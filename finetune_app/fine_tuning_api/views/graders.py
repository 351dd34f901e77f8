"""/v1/fine_tuning/alpha/graders: run a grader on an answer, or validate it alone."""

import time

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from finetune_app.api_keys.models import ApiKey
from finetune_app.fine_tuning_api.graders.grading import Grade, grade
from finetune_app.fine_tuning_api.graders.schemas import MultiGrader, TextGrader, parse_grader
from finetune_app.fine_tuning_api.graders.templates import TextTooLong, sample_variables
from finetune_app.fine_tuning_api.lookup import require_team_key
from finetune_app.gateway.access import api_view
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject, read_json_object
from finetune_app.gateway.request_fields import object_field, refuse_unknown

# OpenAI's names of what can go wrong; those of Python and of models never do here.
ERRORS = (
    "formula_parse_error",
    "sample_parse_error",
    "truncated_observation_error",
    "unresponsive_reward_error",
    "invalid_variable_error",
    "other_error",
    "python_grader_server_error",
    "python_grader_runtime_error",
    "model_grader_server_error",
    "model_grader_refusal_error",
    "model_grader_parse_error",
)
DETAILS = (
    "python_grader_server_error_type",
    "python_grader_runtime_error_details",
    "model_grader_server_error_details",
)


@api_view("POST", action="fine_tuning")
async def run_grader(request: HttpRequest, key: ApiKey) -> HttpResponseBase:
    require_team_key(key)
    return JsonResponse(await sync_to_async(_run, thread_sensitive=False)(request.body))


@api_view("POST", action="fine_tuning")
async def validate_grader(request: HttpRequest, key: ApiKey) -> HttpResponseBase:
    require_team_key(key)
    given = read_json_object(request.body)
    refuse_unknown(given, ("grader",))
    parse_grader(given.get("grader"))
    return JsonResponse({"grader": given["grader"]})


def _run(body: bytes) -> JsonObject:
    began = time.monotonic()
    given = read_json_object(body)
    refuse_unknown(given, ("grader", "model_sample", "item"))
    grader, sample = parse_grader(given.get("grader")), given.get("model_sample")
    if not isinstance(sample, str):
        raise ApiError(400, "“model_sample” is missing.", param="model_sample")
    variables = {"item": object_field(given, "item"), "sample": sample_variables(sample)}
    try:
        found = grade(grader, variables)
    except TextTooLong as problem:
        raise ApiError(400, str(problem), param="model_sample") from problem
    return _run_object(grader, found, time.monotonic() - began)


def _run_object(grader: TextGrader | MultiGrader, found: Grade, seconds: float) -> JsonObject:
    errors: JsonObject = {name: name in found.errors for name in ERRORS}
    return {
        "reward": found.reward,
        "metadata": {
            "name": grader.name,
            "type": grader.type,
            "errors": errors | dict.fromkeys(DETAILS),
            "execution_time": seconds,
            "scores": {},
            "token_usage": None,
            "sampled_model_name": None,
        },
        "sub_rewards": found.sub_rewards,
        "model_grader_token_usage_per_model": {},
    }

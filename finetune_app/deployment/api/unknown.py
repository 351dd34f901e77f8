"""Addresses of OpenAI's API that are not served here: said in a form that its clients read."""

from django.http import HttpRequest, HttpResponseBase

from finetune_app.deployment.api.access import api
from finetune_app.deployment.api.errors import ApiError
from finetune_app.deployment.models import ApiKey


@api("GET", "POST", "PUT", "PATCH", "DELETE", action=None)
async def address(request: HttpRequest, key: ApiKey, rest: str) -> HttpResponseBase:
    raise ApiError(
        404,
        f"/v1/{rest[:80]} is not served here. There are chat/completions, completions, "
        "embeddings, models, files and fine_tuning/jobs.",
        code="unknown_url",
    )

"""URLs of OpenAI's API that do not exist here get an error that its clients understand."""

from django.http import HttpRequest, HttpResponseBase

from finetune_app.api_keys.models import ApiKey
from finetune_app.gateway.access import api_view
from finetune_app.gateway.errors import ApiError


@api_view("GET", "POST", "PUT", "PATCH", "DELETE", action=None)
async def unknown_url(request: HttpRequest, key: ApiKey, rest: str) -> HttpResponseBase:
    raise ApiError(
        404,
        f"/v1/{rest[:80]} is not served here. There are chat/completions, responses, "
        "completions, embeddings, models, files, uploads, batches, fine_tuning/jobs and "
        "fine_tuning/alpha/graders.",
        code="unknown_url",
    )

"""POST /v1/completions."""

from django.http import HttpRequest, HttpResponseBase

from finetune_app.api_keys.models import ApiKey
from finetune_app.gateway.access import api_view
from finetune_app.gateway.generation import Generation
from finetune_app.gateway.text_completions import CompletionResponse, parse_completion_request


def prepare(request: HttpRequest, key: ApiKey) -> Generation:
    """Raises ApiError."""
    asked = parse_completion_request(request.body)
    response = CompletionResponse(
        asked.model, asked.options.n, prompts=len(asked.prompts), logprobs=asked.logprobs
    )
    return Generation(key, asked, response).with_model()


@api_view("POST", action="chat", prepare=prepare)
async def text_completions(request: HttpRequest, generation: Generation) -> HttpResponseBase:
    """Continue one or several texts, whole or streamed."""
    return await generation.response()

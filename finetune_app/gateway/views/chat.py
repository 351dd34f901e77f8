"""POST /v1/chat/completions."""

from django.http import HttpRequest, HttpResponseBase

from finetune_app.api_keys.models import ApiKey
from finetune_app.gateway.access import api_view
from finetune_app.gateway.generation import Generation
from finetune_app.gateway.responses import ChatResponse
from finetune_app.gateway.schemas import parse_chat_request


def prepare(request: HttpRequest, key: ApiKey) -> Generation:
    """Raises ApiError."""
    asked = parse_chat_request(request.body)
    response = ChatResponse(asked.model, asked.options.n, logprobs=asked.logprobs)
    return Generation(key, asked, response).with_model()


@api_view("POST", action="chat", prepare=prepare)
async def chat_completions(request: HttpRequest, generation: Generation) -> HttpResponseBase:
    """One conversation, one or several answers, whole or streamed."""
    return await generation.response()

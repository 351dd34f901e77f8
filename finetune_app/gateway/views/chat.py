"""POST /v1/chat/completions."""

from django.http import HttpRequest, HttpResponseBase

from finetune_app.api_keys.models import ApiKey
from finetune_app.gateway.access import api_view
from finetune_app.gateway.generation import Generation
from finetune_app.gateway.responses import ChatResponse
from finetune_app.gateway.schemas import parse_chat_request


@api_view("POST", action="chat")
async def chat_completions(request: HttpRequest, key: ApiKey) -> HttpResponseBase:
    """One conversation, one or several answers, whole or streamed."""
    asked = parse_chat_request(request.body)
    response = ChatResponse(asked.model, asked.options.n, logprobs=asked.logprobs)
    return await Generation(key, asked, response).response()

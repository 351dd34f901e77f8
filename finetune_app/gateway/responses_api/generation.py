"""From the body of a request for a response to what answers it."""

from finetune_app.api_keys.models import ApiKey
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.generation import Generation
from finetune_app.gateway.json_body import JsonObject, read_json_object
from finetune_app.gateway.responses_api.answer import ResponsesAnswer
from finetune_app.gateway.responses_api.request import parse_response_request, previous_id
from finetune_app.request_log import stored_responses
from finetune_app.request_log.stored_responses import ResponseGone


def response_generation(key: ApiKey, body: bytes, *, is_background: bool = False) -> Generation:
    """Raises ApiError."""
    given = read_json_object(body)
    earlier: list[JsonObject] = []
    if previous := previous_id(given):
        try:
            earlier = stored_responses.conversation(key, previous)
        except ResponseGone:
            raise ApiError(
                400,
                f"The conversation of “{previous[:80]}” is not stored. Responses are stored for "
                "deployments whose texts are kept, redacted and for some days. Send the whole "
                "conversation as “input” instead.",
                param="previous_response_id",
                code="previous_response_not_found",
            ) from None
    asked = parse_response_request(given, earlier)
    return Generation(key, asked.chat, ResponsesAnswer(asked), is_background=is_background)

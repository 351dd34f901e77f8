"""POST /v1/feedback: feedback of a program's users on an answer.

OpenAI's API has nothing like it. The answer is identified by the id of its completion.
"""

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from finetune_app.api_keys.models import ApiKey
from finetune_app.core.errors import PlainError
from finetune_app.gateway.access import api_view
from finetune_app.gateway.errors import ApiError
from finetune_app.gateway.json_body import JsonObject, read_json_object
from finetune_app.request_log import feedback as feedback_service
from finetune_app.request_log.models import Feedback, Request

RATINGS = {"up": Feedback.UP, "down": Feedback.DOWN, 1: Feedback.UP, -1: Feedback.DOWN}
ID_FIELDS = ("id", "completion_id", "request_id")  # the first that is given


@api_view("POST", action=None)  # a key whose budget is used up may still send feedback
async def feedback(request: HttpRequest, key: ApiKey) -> HttpResponseBase:
    return JsonResponse(await sync_to_async(_give)(key, read_json_object(request.body)))


def _give(key: ApiKey, given: JsonObject) -> JsonObject:
    if "chat" not in key.actions:
        raise ApiError(
            403, "This key may not ask models, nor judge what they answer.", code="key_not_allowed"
        )
    rating = given.get("rating")
    known = RATINGS.get(rating) if isinstance(rating, str | int) else None
    if known is None or isinstance(rating, bool):
        raise ApiError(400, "“rating” is “up” or “down”, or 1 or -1.", param="rating")
    comment, expected = _text_field(given, "comment"), _text_field(given, "expected")
    request = _find_request(key, given)
    try:
        kept = feedback_service.give(
            request=request, rating=known, comment=comment, expected=expected
        )
    except PlainError as problem:
        raise ApiError(problem.status, problem.message) from None
    texts = [name for name in ("comment", "expected") if getattr(kept, name)]
    return {
        "object": "feedback",
        "id": request.reply_id,
        "rating": "up" if kept.is_up else "down",
        "kept": ["rating", *texts],  # texts are kept only where transcripts are
    }


def _find_request(key: ApiKey, given: JsonObject) -> Request:
    """The successful request of this key's team, or of its deployment, with the given id.

    Raises ApiError.
    """
    reply_id = next((given[name] for name in ID_FIELDS if given.get(name)), None)
    if not isinstance(reply_id, str):
        raise ApiError(400, "Say which answer: “id” is the id of its completion.", param="id")
    found = Request.objects.filter(team=key.team_id, reply_id=reply_id[:60]).exclude(reply_id="")
    if key.deployment_id:
        found = found.filter(deployment=key.deployment_id)
    request = found.order_by("pk").first()
    if request is None or request.failed:
        raise ApiError(
            404,
            f"There is no answer “{reply_id[:60]}”, or this key may not know of it.",
            code="answer_not_found",
            param="id",
        )
    return request


def _text_field(given: JsonObject, name: str) -> str:
    text = given.get(name) or ""
    if not isinstance(text, str):
        raise ApiError(400, f"“{name}” is a text.", param=name)
    longest = feedback_service.MAX_COMMENT_CHARACTERS
    return text[:longest]

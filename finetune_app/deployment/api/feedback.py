"""POST /v1/feedback: what the people who use a program think of an answer.

Ours, not OpenAI's: their platform has no such address. The answer is named by the id that its
completion had.
"""

from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from finetune_app.deployment.api.access import api
from finetune_app.deployment.api.errors import ApiError
from finetune_app.deployment.api.schemas import read_json
from finetune_app.deployment.models import ApiKey, Feedback, Request
from finetune_app.deployment.monitoring import feedback

RATINGS = {"up": Feedback.UP, "down": Feedback.DOWN, 1: Feedback.UP, -1: Feedback.DOWN}
NAMES = ("id", "completion_id", "request_id")  # of the answer's id, whichever is sent


@api("POST", action=None)  # a key whose tokens are used up may still say what it thinks
async def give(request: HttpRequest, key: ApiKey) -> HttpResponseBase:
    return JsonResponse(await sync_to_async(_give)(key, read_json(request.body)))


def _give(key: ApiKey, given: dict[str, Any]) -> dict[str, Any]:
    if "chat" not in key.actions:
        raise ApiError(
            403, "This key may not ask models, nor judge what they answer.", code="key_not_allowed"
        )
    rating = given.get("rating")
    known = RATINGS.get(rating) if isinstance(rating, str | int) else None
    if known is None or isinstance(rating, bool):
        raise ApiError(400, "“rating” is “up” or “down”, or 1 or -1.", param="rating")
    comment, expected = _text(given, "comment"), _text(given, "expected")
    asked = _find(key, given)
    kept = feedback.give(request=asked, rating=known, comment=comment, expected=expected)
    words = [name for name in ("comment", "expected") if getattr(kept, name)]
    return {
        "object": "feedback",
        "id": asked.reply_id,
        "rating": "up" if kept.is_up else "down",
        "kept": ["rating", *words],  # words are kept only where the texts of requests are
    }


def _find(key: ApiKey, given: dict[str, Any]) -> Request:
    """A request that this key may know of: its team's, and its deployment's where it opens one."""
    name = next((given[one] for one in NAMES if given.get(one)), None)
    if not isinstance(name, str):
        raise ApiError(400, "Say which answer: “id” is the id of its completion.", param="id")
    found = Request.objects.filter(team=key.team_id, reply_id=name[:60]).exclude(reply_id="")
    if key.deployment_id:
        found = found.filter(deployment=key.deployment_id)
    asked = found.order_by("pk").first()
    if asked is None or asked.failed:
        raise ApiError(
            404,
            f"There is no answer “{name[:60]}”, or this key may not know of it.",
            code="answer_not_found",
            param="id",
        )
    return asked


def _text(given: dict[str, Any], name: str) -> str:
    text = given.get(name) or ""
    if not isinstance(text, str):
        raise ApiError(400, f"“{name}” is a text.", param=name)
    return text[: feedback.LONGEST].encode(errors="replace").decode().replace("\x00", "")

"""What is kept of each request, and what the figures of a deployment say."""

from typing import TYPE_CHECKING, Any

from finetune_app.deployment import limits
from finetune_app.deployment.models import ApiKey, Request

if TYPE_CHECKING:
    from finetune_app.deployment.api.models import Served


def note(
    *, key: ApiKey, served: "Served | None", model: str, prompt_tokens: int, tokens: int,
    **facts: Any,
) -> Request:
    """Keep how a request went, and count its tokens for its key."""
    limits.take_tokens(key, prompt_tokens + tokens)
    return Request.objects.create(
        team_id=key.team_id, key=key, model=model[:120], prompt_tokens=prompt_tokens,
        tokens=tokens, deployment=served.deployment if served else None,
        release=served.release if served else None, **facts,
    )

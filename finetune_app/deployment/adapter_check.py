"""A tuned candidate that answers as its base does must not go live."""

import asyncio
import logging

from asgiref.sync import async_to_sync
from django.utils.translation import gettext as _

from finetune_app.candidates import inference, services
from finetune_app.candidates.models import Candidate
from finetune_app.core import engine_client
from finetune_app.core.errors import PlainError

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = (
    60.0  # seconds that a person waits for the engine, which may be busy or load a model
)


def require_effect(candidate: Candidate) -> None:
    """Raise PlainError when its adapter is damaged or changes nothing.

    Outside a transaction, since the engine may have to load a model first. While it cannot be
    asked, or takes too long, nobody is refused: it looks again before the first answer, and
    refuses that.
    """
    given = services.candidate_spec(candidate)
    if not (given["base_model"] and given["adapter"]):
        return
    try:
        problem = async_to_sync(_ask)(
            given["base_model"],
            given["adapter"],
            inference.tested_number_format(candidate) or "auto",
        )
    except (engine_client.EngineUnavailable, TimeoutError) as why:
        log.warning("candidate %s goes live unproved: %r", candidate.pk, why)
        return
    if problem:
        raise PlainError(problem, title=_("It would answer as its base model"))


async def _ask(base_model: str, adapter: str, number_format: str) -> str:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        return await engine_client.check_adapter(base_model, adapter, number_format=number_format)

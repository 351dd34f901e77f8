"""Before a tuned candidate goes live: does its adapter change what the base model answers?"""

import asyncio
import logging

from asgiref.sync import async_to_sync
from django.utils.translation import gettext as _

from finetune_app.candidates import inference, services
from finetune_app.candidates.models import Candidate
from finetune_app.core import engine_client
from finetune_app.core.errors import PlainError

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0  # the engine may be busy, or have to load a model first


def require_effect(candidate: Candidate) -> None:
    """Raises PlainError if the adapter is damaged or changes nothing.

    Call it outside a transaction: the engine may have to load a model first. If the engine is
    unavailable or too slow the candidate is accepted, since the engine checks again before the
    first answer and then refuses to give one.
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
        log.warning("candidate %s goes live unchecked: %r", candidate.pk, why)
        return
    if problem:
        raise PlainError(problem, title=_("It would answer as its base model"))


async def _ask(base_model: str, adapter: str, number_format: str) -> str:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        return await engine_client.check_adapter(base_model, adapter, number_format=number_format)

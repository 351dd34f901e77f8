"""Checks before a tuned candidate goes live that its adapter changes the base model's output."""

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
    unavailable or too slow the candidate is accepted; the engine checks again before it answers.
    """
    spec = services.candidate_spec(candidate, for_engine=True)
    if not (spec["base_model"] and spec["adapter"]):
        return
    try:
        problem = async_to_sync(_check)(
            spec["base_model"],
            spec["adapter"],
            inference.tested_number_format(candidate) or "auto",
        )
    except (engine_client.EngineUnavailable, TimeoutError) as error:
        log.warning("candidate %s goes live unchecked: %r", candidate.pk, error)
        return
    if problem:
        raise PlainError(problem, title=_("It would answer as its base model"))


async def _check(base_model: str, adapter: str, number_format: str) -> str:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        return await engine_client.check_adapter(base_model, adapter, number_format=number_format)

"""Assigns conversations to the canary release or the current one.

A hash of the conversation's id decides, so nothing about users is stored, and a conversation keeps
its release while the canary runs. Raising the percentage keeps every conversation that was in it.
"""

import hashlib

from finetune_app.candidates import inference
from finetune_app.core.errors import PlainError
from finetune_app.deployment.models import Deployment, Release

CANARY_PERCENTS = (5, 10, 25, 50)  # of the conversations


def release_for(deployment: Deployment, conversation_id: str) -> Release | None:
    """The release for this conversation: the canary if it includes the conversation and can answer,
    otherwise the current one. None if nothing is live."""
    current, canary = deployment.current_and_canary()
    included = canary and conversation_id and includes(canary, conversation_id)
    return canary if canary and included and not unavailable_reason(canary) else current


def includes(canary: Release, conversation_id: str) -> bool:
    """Whether the conversation is in the canary's percentage. Each canary has another selection."""
    digest = hashlib.sha256(f"{canary.pk}:{conversation_id}".encode()).digest()
    return int.from_bytes(digest[:8]) % 100 < canary.canary_percent


def unavailable_reason(release: Release) -> str:
    """Why it cannot answer, as a sentence; "" if it can."""
    try:
        inference.request_for(release.candidate)
    except PlainError as problem:
        return problem.message
    return ""

"""Canary releases: which conversations one answers, and how it compares with the current release.

A hash of the conversation's identity decides who gets the canary, so nothing about who asks is
stored and a conversation keeps the same release for as long as the canary runs. Raising the
percentage keeps everybody who was in it before.
"""

import hashlib

from finetune_app.candidates import inference
from finetune_app.core.errors import PlainError
from finetune_app.deployment.models import Deployment, Release


def release_for(deployment: Deployment, conversation_id: str) -> Release | None:
    """The release that answers this conversation: the canary where the hash says so and it can
    answer, otherwise the current one. None if nothing is live."""
    canary = deployment.canary
    drawn = canary and conversation_id and includes(canary, conversation_id)
    return canary if canary and drawn and not unavailable_reason(canary) else deployment.current


def includes(canary: Release, conversation_id: str) -> bool:
    """Whether this conversation is in the canary's percentage. Each canary draws anew."""
    digest = hashlib.sha256(f"{canary.pk}:{conversation_id}".encode()).digest()
    return int.from_bytes(digest[:8]) % 100 < canary.canary_percent


def unavailable_reason(release: Release) -> str:
    """Why it cannot answer, as a sentence; "" if it can."""
    try:
        inference.request_for(release.candidate)
    except PlainError as problem:
        return problem.message
    return ""

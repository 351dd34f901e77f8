"""Assigns conversations to the canary release or the current one.

A hash of the conversation's id decides, so nothing about users is stored, and a conversation keeps
its release while the canary runs. Raising the percentage keeps every conversation that was in it.
"""

import hashlib

from finetune_app.candidates import inference
from finetune_app.core.errors import PlainError
from finetune_app.core.rows import read_related, rows
from finetune_app.deployment.models import Deployment, Release

CANARY_PERCENTS = (5, 10, 25, 50)  # of the conversations
# `Deployment.current_and_canary` in SQL, since each request asks it.
CURRENT_AND_CANARY = """
    SELECT * FROM deployment_release WHERE deployment_id = {keys} AND (
        (promoted_at IS NULL AND withdrawn_at IS NULL) OR number = (
            SELECT MAX(number) FROM deployment_release
            WHERE deployment_id = {keys} AND promoted_at IS NOT NULL
        )
    )
"""


def release_for(deployment: Deployment, conversation_id: str) -> Release | None:
    """The release for this conversation: the canary if it includes the conversation and can answer,
    otherwise the current one. None if nothing is live."""
    found = rows(Release, CURRENT_AND_CANARY, [deployment.pk])
    current = next((one for one in found if not one.is_canary), None)
    canary = next((one for one in found if one.is_canary), None)
    if canary and conversation_id and includes(canary, conversation_id):
        canary = _with_model(canary, deployment)
        if not unavailable_reason(canary):
            return canary
    return current and _with_model(current, deployment)


def _with_model(release: Release, deployment: Deployment) -> Release:
    """With all that a request to its candidate is made of."""
    release.deployment = deployment
    read_related(release, "candidate")
    read_related(release.candidate, "base_model", "endpoint", "training", "knowledge")
    return release


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

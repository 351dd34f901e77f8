"""Batches in the format of OpenAI's API reference."""

from finetune_app.batches.models import Batch
from finetune_app.batches.services import COMPLETION_WINDOW
from finetune_app.gateway.json_body import JsonObject

TIMES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


def batch_object(batch: Batch) -> JsonObject:
    """Fields without a value are left out: OpenAI describes none of them as null."""
    found: JsonObject = {
        "id": batch.api_id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "input_file_id": batch.input_id,
        "completion_window": COMPLETION_WINDOW,
        "status": batch.status,
        "created_at": int(batch.created_at.timestamp()),
        "expires_at": int(batch.expires_at.timestamp()),
        "request_counts": {
            "total": batch.total,
            "completed": batch.completed,
            "failed": batch.failed,
        },
        "metadata": batch.metadata,
    }
    for name in TIMES:
        if at := batch.time_of(name):
            found[f"{name}_at"] = int(at.timestamp())
    if batch.model:
        found["model"] = batch.model
    if batch.output_file:
        found["output_file_id"] = batch.output_file.api_id
    if batch.error_file:
        found["error_file_id"] = batch.error_file.api_id
    if batch.errors:
        found["errors"] = {"object": "list", "data": batch.errors}
    if batch.total:
        found["usage"] = _usage(batch)
    return found


def _usage(batch: Batch) -> JsonObject:
    return {
        "input_tokens": batch.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},  # not measured
        "output_tokens": batch.output_tokens,
        "output_tokens_details": {"reasoning_tokens": batch.reasoning_tokens},
        "total_tokens": batch.input_tokens + batch.output_tokens,
    }

from finetune_app.request_log.models.requests import (
    ERROR_LABELS,
    Feedback,
    Request,
    StoredResponse,
    Transcript,
)
from finetune_app.request_log.models.retention import Retention
from finetune_app.request_log.models.rollups import HourlyAnswers, HourlyUsage, RollupCursor

__all__ = [
    "ERROR_LABELS",
    "Feedback",
    "HourlyAnswers",
    "HourlyUsage",
    "Request",
    "Retention",
    "RollupCursor",
    "StoredResponse",
    "Transcript",
]

"""Deployments and their releases."""

from finetune_app.deployment.models.behaviour import Drift
from finetune_app.deployment.models.deployment import Deployment, Release
from finetune_app.deployment.models.monitoring import Hour, HourPace, HoursUpTo, Keeping
from finetune_app.deployment.models.requests import TROUBLE, Feedback, Request, Transcript

__all__ = [
    "TROUBLE",
    "Deployment",
    "Drift",
    "Feedback",
    "Hour",
    "HourPace",
    "HoursUpTo",
    "Keeping",
    "Release",
    "Request",
    "Transcript",
]

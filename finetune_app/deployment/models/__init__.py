"""Step 6: a candidate in use, the keys that open it, and what was asked of it."""

from finetune_app.deployment.models.api import ApiFile, ApiJob
from finetune_app.deployment.models.behaviour import Drift
from finetune_app.deployment.models.chat_page import PublicChat, new_link
from finetune_app.deployment.models.keys import ACTIONS, ApiKey, every_action, this_month
from finetune_app.deployment.models.live import Deployment, Release
from finetune_app.deployment.models.monitoring import Hour, HourPace, HoursUpTo, Keeping
from finetune_app.deployment.models.requests import TROUBLE, Feedback, Request, Transcript

__all__ = [
    "ACTIONS",
    "TROUBLE",
    "ApiFile",
    "ApiJob",
    "ApiKey",
    "Deployment",
    "Drift",
    "Feedback",
    "Hour",
    "HourPace",
    "HoursUpTo",
    "Keeping",
    "PublicChat",
    "Release",
    "Request",
    "Transcript",
    "every_action",
    "new_link",
    "this_month",
]

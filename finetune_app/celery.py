"""The Celery application. The web names tasks by string; only workers import them.

A worker: `celery -A finetune_app worker -I worker.tasks -Q heavy -c 1`.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
app = Celery("finetune")
app.config_from_object("django.conf:settings", namespace="CELERY")


def keep_our_logging(**_: Any) -> None:
    """With a receiver, Celery leaves the log as the settings define it."""


setup_logging.connect(keep_our_logging)

"""The Celery application. The web names tasks by string; only workers import them.

A worker: `celery -A finetune_app worker -I worker.tasks -Q heavy -c 1`.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
app = Celery("finetune")
app.config_from_object("django.conf:settings", namespace="CELERY")  # the broker's address
app.conf.update(
    task_routes={"worker.run_heavy": {"queue": "heavy"}, "worker.run_light": {"queue": "light"}},
    task_ignore_result=True,
    task_acks_late=False,
    task_publish_retry=False,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    # While the broker is away workers find jobs by themselves (worker/waiting_jobs.py).
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # for ever
    broker_transport_options={"visibility_timeout": 86400, "socket_connect_timeout": 5},
)


def keep_our_logging(**_: Any) -> None:
    """With a receiver, Celery leaves the log as the settings define it."""


setup_logging.connect(keep_our_logging)

"""The Celery application. The web names tasks by string; only workers import them.

A worker: `celery -A finetune_app worker -I worker.tasks -Q heavy -c 1`.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
app = Celery("finetune")
app.config_from_object("django.conf:settings", namespace="CELERY")

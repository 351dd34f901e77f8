"""The web server's configuration: gunicorn starts the web processes, uvicorn answers in each.

    gunicorn finetune_app.asgi:application -c python:finetune_app.web_server

The application is loaded once and the processes are forks of it, which share its memory. One that
dies, or whose event loop stands still for `timeout` seconds, is replaced.
"""

import gc
import os
import shutil
from typing import Any

import django
from django.conf import settings
from django.urls import get_resolver

from finetune_app.core.parent_death import die_with_parent
from finetune_app.core.web_worker import WebWorker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
# The web processes count in files, so that /metrics of any of them tells the sum of all
# (prometheus_client reads this when it is imported).
metrics_folder = settings.RUN_DIR / "metrics"
shutil.rmtree(metrics_folder, ignore_errors=True)
metrics_folder.mkdir(parents=True)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_folder)
django.setup()


def when_ready(_arbiter: Any) -> None:
    """Import all views before the first fork. Objects made so far are never collected: a
    collection would write to their shared pages."""
    from finetune_app.core.shared_secrets import require_shared_secrets  # needs Django's apps

    require_shared_secrets()
    assert get_resolver().url_patterns
    gc.freeze()


def post_fork(arbiter: Any, _worker: Any) -> None:
    die_with_parent(arbiter.pid)
    from finetune_app.core import local_copies  # needs Django's apps

    local_copies.tidy_in_background()


_host = f"[{settings.HOST}]" if ":" in settings.HOST else settings.HOST

bind = f"{_host}:{settings.PORT}"
workers = settings.WEB_PROCESSES
worker_class = WebWorker
preload_app = True
control_socket_disable = True
logconfig_dict = settings.LOGGING
timeout = 60  # seconds
graceful_timeout = 2
# Longer than that of clients (OpenAI's: 5 s), else a client sometimes sends a request on a
# connection that is being closed.
keepalive = 30

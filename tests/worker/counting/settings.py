"""Settings of processes that tests start: the application's, with the jobs that count."""

from finetune_app.settings import *  # noqa: F403
from finetune_app.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.worker.counting"]

"""The app's settings with the jobs that count: DJANGO_SETTINGS_MODULE of processes in tests."""

from finetune_app.settings import *  # noqa: F403
from finetune_app.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.worker.counting"]

"""manage.py engine: runs the inference engine with the settings' socket, or address, and secret.

`manage.py up` starts it; containers run this command.
"""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Run the engine process on its socket, or on ENGINE_LISTEN."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        settings.ENGINE_SOCKET.parent.mkdir(parents=True, exist_ok=True)
        os.execve(sys.executable, engine_command(), os.environ | engine_environment())


def engine_command() -> list[str]:
    where = ["--socket", str(settings.ENGINE_SOCKET)]
    if settings.ENGINE_LISTEN:
        where = ["--listen", settings.ENGINE_LISTEN]
    return [sys.executable, "-m", "worker.engine.server", *where]


def engine_environment() -> dict[str, str]:
    return {
        "FINETUNE_ENGINE_SECRET": settings.ENGINE_SECRET,
        "FINETUNE_DATA_DIR": str(settings.DATA_DIR),
    }

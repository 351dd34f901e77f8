"""manage.py engine: runs the inference engine with the settings' socket and secret.

`manage.py up` starts it; containers run this command.
"""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Run the engine process on its socket."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        settings.ENGINE_SOCKET.parent.mkdir(parents=True, exist_ok=True)
        environment = dict(
            os.environ,
            FINETUNE_ENGINE_SECRET=settings.ENGINE_SECRET,
            FINETUNE_DATA_DIR=str(settings.DATA_DIR),
        )
        command = [
            sys.executable,
            "-m",
            "worker.engine.server",
            "--socket",
            str(settings.ENGINE_SOCKET),
        ]
        os.execve(command[0], command, environment)

"""manage.py healthy PROCESS: whether a process of this machine lives; for health checks."""

import http.client
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from finetune_app.core import alive, engine_client, engines, health

PROCESSES = ("web", "clock", "light", "heavy", "engine")
TIMEOUT_SECONDS = 5.0


class Command(BaseCommand):
    help = "Ends with status 0 if the process lives; with --ready, if it can also do its work."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("process", choices=PROCESSES)
        parser.add_argument("--ready", action="store_true")

    def handle(self, *args: Any, process: str, ready: bool, **options: Any) -> None:
        if process == "web":
            problem = web_problem(health.READY if ready else health.LIVE)
        elif process == "engine":
            problem = engine_problem(ready)
        else:
            problem = "" if alive.is_alive(process) else "It has not been heard of for a minute."
            if ready and not problem and (down := health.parts_down()):
                problem = " ".join([f"Down: {', '.join(down)}.", *filter(None, down.values())])
        if problem:
            raise CommandError(f"{process}: {problem}")
        self.stdout.write(f"{process}: ok")


def web_problem(path: str) -> str:
    web = http.client.HTTPConnection(settings.HERE, settings.PORT, timeout=TIMEOUT_SECONDS)
    try:
        web.request("GET", path)
        response = web.getresponse()
        body = response.read().decode()
    except (OSError, http.client.HTTPException):
        return f"It does not answer on port {settings.PORT}."
    finally:
        web.close()
    return "" if response.status == 200 else body


def engine_problem(ready: bool) -> str:
    """It is ready when a model is loaded, or none is needed yet."""
    try:
        found = engine_client.health_now(TIMEOUT_SECONDS, engines.of_this_host())
    except engine_client.EngineUnavailable:
        return "It does not answer."
    return "It loads a model." if ready and found["loading"] else ""

"""`manage.py clock`: every two seconds, bring jobs and reality together again.

Between two looks it does what is due of the rooms' small regular work (chores.py)."""

import logging
import os
import time
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection

from finetune_app.jobs.chores import Turns
from finetune_app.jobs.reconcile import Silence, reconcile

log = logging.getLogger(__name__)

EVERY_SECONDS = float(os.environ.get("CLOCK_SECONDS", "2"))


class Command(BaseCommand):
    help = "Recovers jobs whose worker died and wakes workers. Run one or several."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        silence, turns = Silence(), Turns()
        while True:
            try:
                reconcile(silence)
                turns.run_due()
            except DatabaseError as error:
                log.warning("the database does not answer: %s", error)
                connection.close()
            time.sleep(EVERY_SECONDS)

"""manage.py erase_traces: removes what deletions left in the database's file, at once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from finetune_app.operations import erasure


class Command(BaseCommand):
    help = "Write the SQLite database anew, whatever its size, so that nothing deleted is left."

    def handle(self, *args: Any, **options: Any) -> None:
        if not erasure.erase_traces(of_any_size=True):
            raise CommandError("The database is in use. Try again in a quiet moment.")
        if connection.vendor == "sqlite":
            self.stdout.write("Nothing that was deleted is left in the database's file.")
        else:
            self.stdout.write(
                "The journals of what was deleted are gone. Its rows leave PostgreSQL's files with "
                "autovacuum over time, with VACUUM FULL at once."
            )

"""manage.py roll_back FILE: undoes the migrations of an upgrade, and keeps all rows."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from finetune_app.operations.errors import OperationError
from finetune_app.operations.exclusive_use import exclusive_use
from finetune_app.operations.roll_back import migrations_of, undo_all_but


class Command(BaseCommand):
    help = (
        "Take the database back to the schema of a backup, before an older version of Finetune is "
        "put in place. Stop Finetune first. See docs/upgrade.md."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the backup that the upgrade made")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["file"].exists():
            raise CommandError(f"There is no file {options['file']}.")
        try:
            kept = migrations_of(options["file"])
            with exclusive_use():
                call_command("backup", stdout=self.stdout)
                undone = undo_all_but(kept)
        except (OperationError, OSError) as error:
            raise CommandError(str(error)) from error
        for name in undone:
            self.stdout.write(f"Undone: {name}")
        self.stdout.write("Now put the older version in place and start it.")

"""manage.py restore FILE [--force]: restores a backup."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finetune_app.operations.backups import BackupError, restore


class Command(BaseCommand):
    help = "Bring back what `manage.py backup` saved. Stop Finetune first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--force", action="store_true", help="replace what is here")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["file"].exists():
            raise CommandError(f"There is no file {options['file']}.")
        try:
            restore(options["file"], force=options["force"])
        except (BackupError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Restored. `make run` prepares the starter model again if it is missing.")

"""manage.py restore FILE [--force]: restores a backup."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from finetune_app.core import files
from finetune_app.operations.errors import OperationError
from finetune_app.operations.restores import restore


class Command(BaseCommand):
    help = "Bring back what `manage.py backup` saved. Stop Finetune first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--force", action="store_true", help="replace what is here")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["file"].exists():
            raise CommandError(f"There is no file {options['file']}.")
        try:
            restored = restore(options["file"], force=options["force"])
        except (OperationError, OSError) as error:
            raise CommandError(str(error)) from error
        if restored.removed:
            self.stdout.write(
                "Removed, since the backup does not hold them (indexes are made again):"
            )
            for name in restored.removed:
                self.stdout.write(f"  {name}")
        if restored.other_secrets:
            names = ", ".join(restored.other_secrets)
            self.stderr.write(
                f"LOOK: the environment sets {names} to something else than the backup holds. "
                "Unset them, or set them to what is in "
                f"{settings.DATA_DIR}/secrets.json; else keys and stored tokens do not work."
            )
        if not files.is_local():
            self.stdout.write(
                "On every other host, before it starts: empty its DATA_DIR but for secrets.json, "
                "where copies of files lie that this backup does not hold."
            )
        self.stdout.write("Restored. `make run` prepares the starter model again if it is missing.")

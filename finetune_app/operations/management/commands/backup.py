"""manage.py backup [FILE]: backs up everything but base models and checkpoints."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from finetune_app.operations.backups import backup
from finetune_app.operations.errors import OperationError
from finetune_app.operations.passphrase import VARIABLE, chosen_passphrase


class Command(BaseCommand):
    help = "Save the database, secrets, versions, uploads and adapters in one file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path)
        parser.add_argument(
            "--passphrase",
            action="store_true",
            help=f"ask for a passphrase, unless {VARIABLE} is set; restore asks for it again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stamp = timezone.now().strftime("%Y-%m-%d-%H%M%S")
        target = options["file"] or Path(settings.DATA_DIR) / "backups" / f"finetune-{stamp}.tar.gz"
        try:
            passphrase = chosen_passphrase(ask=options["passphrase"])
            saved = backup(target, passphrase)
        except (OperationError, OSError) as error:
            raise CommandError(str(error)) from error
        size = saved.stat().st_size / 1e6
        advice = (
            "Its secrets are readable only with the passphrase: keep that elsewhere."
            if passphrase
            else "It holds your secrets: keep it safe, or save it with --passphrase."
        )
        self.stdout.write(f"Saved {saved} ({size:.1f} MB). {advice}")

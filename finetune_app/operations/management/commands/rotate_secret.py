"""manage.py rotate_secret NAME ...: gives the installation new secrets."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finetune_app.operations import secret_rotation
from finetune_app.operations.errors import OperationError


class Command(BaseCommand):
    help = "Replace secrets by new ones. Stop Finetune first. See docs/secrets.md."
    change = staticmethod(secret_rotation.rotate)
    names = list(secret_rotation.ROTATIONS)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", nargs="+", choices=self.names)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            for name in options["name"]:
                self.stdout.write(self.change(name))
        except (OperationError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Start Finetune again.")

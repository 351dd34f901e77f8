"""manage.py set_up_address: prints a new one-time address that creates the first account."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finetune_app.accounts import services


class Command(BaseCommand):
    help = "Print the address that makes the first account; earlier ones stop working."

    def handle(self, *args: Any, **options: Any) -> None:
        address = services.set_up_url()
        if address is None:
            raise CommandError("There is an owner already: sign in, or use reset_password.")
        self.stdout.write(address)

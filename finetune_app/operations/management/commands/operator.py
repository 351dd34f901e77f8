"""manage.py operator: who may see and stop what all teams do on this installation."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finetune_app.accounts import services
from finetune_app.accounts.models import User


class Command(BaseCommand):
    help = "Make somebody an operator of this installation, or list the operators."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", nargs="?", help="without it, the operators are listed")
        parser.add_argument("--remove", action="store_true", help="no longer an operator")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["email"]:
            for operator in User.objects.filter(is_staff=True).order_by("email"):
                self.stdout.write(operator.email)
            return
        email = options["email"].strip().lower()
        user = User.objects.filter(email=email).first()
        if user is None:
            raise CommandError(f"Nobody here has the address {email}.")
        services.set_operator(user=user, on=not options["remove"])
        word = "is no longer" if options["remove"] else "is now"
        self.stdout.write(f"{email} {word} an operator.")

"""manage.py reset_password: sets a user's password and ends their sessions."""

from argparse import ArgumentParser
from typing import Any

from axes.utils import reset as reset_tries
from django.core.management.base import BaseCommand, CommandError

from finetune_app.accounts import services
from finetune_app.accounts.management.passwords import ask_password
from finetune_app.accounts.models import User


class Command(BaseCommand):
    help = "Give somebody a new password. Asks for it, or makes one up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument(
            "--second-factor", action="store_true", help="also remove their second factor"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        email = options["email"].strip().lower()
        user = User.objects.filter(email=email).first()
        if user is None:
            raise CommandError(f"Nobody here has the address {email}.")
        password, made_up = ask_password(user)
        services.change_password(user=user, password=password)
        services.part_from_provider(user)
        reset_tries(username=email)  # earlier failures no longer lock the account
        self.stdout.write(f"{email} has a new password. Their open sessions have ended.")
        if options["second_factor"]:
            services.remove_second_factor(user)
            self.stdout.write("Their second factor is removed: the password alone signs in.")
        if made_up:
            self.stdout.write(f"Password, shown once: {password}")

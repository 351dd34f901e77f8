"""manage.py create_owner: creates an account that owns a team."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finetune_app.accounts import services
from finetune_app.accounts.management.passwords import ask_password
from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError


class Command(BaseCommand):
    help = "Make an account that owns a team. Asks for the password, or makes one up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--name", default="", help="what others see")
        parser.add_argument("--team", default="My team", help="the team's name")

    def handle(self, *args: Any, **options: Any) -> None:
        email = options["email"].strip().lower()
        name = options["name"] or email.split("@")[0]
        password, made_up = ask_password(User(email=email, name=name))
        try:
            services.create_owner(
                email=email, name=name, password=password, team_name=options["team"]
            )
        except PlainError as error:
            raise CommandError(
                f"{email} has an account already. To let them in again: "
                f"manage.py reset_password {email}"
            ) from error
        self.stdout.write(f"{email} now owns the team {options['team']}.")
        if made_up:
            self.stdout.write(f"Password, shown once: {password}")

"""Make an API key from a shell: everything of a team, shown once on standard output."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finetune_app.accounts.models import Team
from finetune_app.deployment import keys


class Command(BaseCommand):
    help = "Make an API key for everything of a team and print it, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--team", default="", help="its name, where there are several")
        parser.add_argument("--name", default="from a shell", help="what it is for")
        parser.add_argument("--days", type=int, help="how long it works; for ever if not given")

    def handle(self, *args: Any, **options: Any) -> None:
        teams = Team.objects.filter(name=options["team"]) if options["team"] else Team.objects.all()
        found = list(teams[:2])
        if len(found) != 1:
            why = "No team has that name." if options["team"] and not found else (
                "There is no team yet: manage.py create_owner EMAIL makes one."
                if not found else "There are several teams: name one with --team."
            )
            raise CommandError(why)
        if options["days"] is not None and options["days"] < 1:
            raise CommandError("--days must be at least 1.")
        _key, text = keys.make(team=found[0], by=None, name=options["name"], days=options["days"])
        self.stdout.write(text)

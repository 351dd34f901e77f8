"""Make an API key from a shell, or give one a new secret: shown once on standard output."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finetune_app.accounts.models import Team
from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ACTIONS, ApiKey
from finetune_app.deployment.models import Deployment

LIMITS = ("requests_per_minute", "tokens_per_minute", "tokens_per_month")


class Command(BaseCommand):
    help = "Make an API key for a team and print it, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--team", default="", help="its name, where there are several")
        parser.add_argument("--name", default="from a shell", help="what it is for")
        parser.add_argument("--deployment", default="", help="the one it opens; else everything")
        parser.add_argument(
            "--may",
            action="append",
            choices=list(ACTIONS),
            metavar="ACTION",
            help=f"what it may do, of {', '.join(ACTIONS)}; once for each; else everything",
        )
        parser.add_argument("--days", type=int, help="how long it works; for ever if not given")
        parser.add_argument("--requests-a-minute", type=int, help="at most; usually 60")
        parser.add_argument("--tokens-a-minute", type=int, help="at most; usually 100000")
        parser.add_argument("--tokens-a-month", type=int, help="at most; else no budget")
        parser.add_argument("--rotate", metavar="ft-PREFIX", help="a new secret for this key")
        parser.add_argument(
            "--old-works-for",
            type=int,
            default=24,
            metavar="HOURS",
            help="how long the secret before it works on, with --rotate; usually 24",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("days", *LIMITS):
            if options[name] is not None and options[name] < 1:
                raise CommandError(f"--{name.replace('_', '-')} must be at least 1.")
        team = self._team(options["team"])
        if options["rotate"]:
            key, hours = self._key(team, options["rotate"]), max(options["old_works_for"], 0)
            self.stdout.write(api_keys.rotate_key(key=key, hours=hours)[1])
            return
        limits = {name: options[name] for name in LIMITS if options[name] is not None}
        if options["may"]:
            limits["actions"] = options["may"]
        _key, text = api_keys.create_key(
            team=team,
            by=None,
            name=options["name"],
            days=options["days"],
            deployment=self._deployment(team, options["deployment"]),
            **limits,
        )
        self.stdout.write(text)

    def _team(self, name: str) -> Team:
        teams = Team.objects.filter(name=name) if name else Team.objects.all()
        found = list(teams[:2])
        if len(found) == 1:
            return found[0]
        if found:
            raise CommandError("There are several teams: name one with --team.")
        raise CommandError(
            "No team has that name."
            if name
            else "There is no team yet: manage.py create_owner EMAIL makes one."
        )

    def _deployment(self, team: Team, name: str) -> Deployment | None:
        found = Deployment.objects.filter(team=team, name=name).first() if name else None
        if name and found is None:
            raise CommandError("Nothing of this team is live under that name.")
        return found

    def _key(self, team: Team, text: str) -> ApiKey:
        """By its open part; no more of it is needed, nor should stand in a shell's history."""
        prefix = text.removeprefix(f"{api_keys.KEY_START}-").partition("-")[0]
        found = ApiKey.objects.filter(team=team, prefix=prefix, revoked_at=None).first()
        if found is None:
            raise CommandError("This team has no such key.")
        return found

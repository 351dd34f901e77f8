"""Create an API key from a shell, or give one a new secret. It is printed once."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finetune_app.accounts.models import Team
from finetune_app.api_keys import services
from finetune_app.api_keys.models import (
    ACTIONS,
    DEFAULT_REQUESTS_PER_MINUTE,
    DEFAULT_ROTATION_HOURS,
    DEFAULT_TOKENS_PER_MINUTE,
    ApiKey,
)
from finetune_app.deployment.models import Deployment

# Options that are limits of the key, by their names in the shell.
LIMIT_OPTIONS = {
    "--requests-a-minute": "requests_per_minute",
    "--tokens-a-minute": "tokens_per_minute",
    "--tokens-a-month": "tokens_per_month",
}
LIMIT_HELP = {
    "--requests-a-minute": f"at most; usually {DEFAULT_REQUESTS_PER_MINUTE}",
    "--tokens-a-minute": f"at most; usually {DEFAULT_TOKENS_PER_MINUTE}",
    "--tokens-a-month": "at most; else no budget",
}


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
        for option, field in LIMIT_OPTIONS.items():
            parser.add_argument(option, dest=field, type=int, help=LIMIT_HELP[option])
        parser.add_argument("--rotate", metavar="ft-PREFIX", help="a new secret for this key")
        parser.add_argument(
            "--old-works-for",
            type=int,
            default=DEFAULT_ROTATION_HOURS,
            metavar="HOURS",
            help="how long the secret before it works on, with --rotate; usually %(default)s",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for option, name in {"--days": "days", **LIMIT_OPTIONS}.items():
            if options[name] is not None and options[name] < 1:
                raise CommandError(f"{option} must be at least 1.")
        if options["rotate"]:
            key, hours = (
                self._key(options["rotate"], options["team"]),
                max(options["old_works_for"], 0),
            )
            self.stdout.write(services.rotate_key(key=key, by=None, hours=hours)[1])
            return
        team = self._team(options["team"])
        given = {field: options[field] for field in LIMIT_OPTIONS.values()}
        limits: dict[str, object] = {
            name: value for name, value in given.items() if value is not None
        }
        if options["may"]:
            limits["actions"] = options["may"]
        _key, text = services.create_key(
            team=team,
            by=None,
            name=options["name"],
            days=options["days"],
            deployment=self._deployment(team, options["deployment"]),
            **limits,
        )
        self.stdout.write(text)

    def _team(self, name: str) -> Team:
        teams = list((Team.objects.filter(name=name) if name else Team.objects.all())[:2])
        if len(teams) == 1:
            return teams[0]
        if teams:
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

    def _key(self, text: str, team_name: str) -> ApiKey:
        """Finds a key by its public prefix, so that no secret gets into the shell's history.

        The prefix is unique among all teams, so the name of one is only checked.
        """
        prefix = text.removeprefix(f"{services.KEY_START}-").partition("-")[0]
        key = ApiKey.objects.not_revoked().filter(prefix=prefix).first()
        if key is None or (team_name and key.team != self._team(team_name)):
            raise CommandError("There is no such key, or it was revoked.")
        return key

"""Lines of the audit log as pages show them: their ids with the names of today."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _l

from finetune_app.accounts.models import Team, User
from finetune_app.api_keys.models import ApiKey
from finetune_app.audit.models import AuditEntry
from finetune_app.goals.models import Goal

TARGET_WORDS = {"apikey": _l("key"), "apifile": _l("file"), "user": _l("person")}


@dataclass(frozen=True)
class AuditRow:
    line: AuditEntry
    who: str
    what_to: str  # "key Shop", "training 3"
    goal: str  # its name, or its number when it is gone
    team: str  # where lines of several teams are shown


class Names:
    """Names of what some lines are about, in three queries.

    Of all teams, people and teams have names, and what teams named themselves has numbers.
    """

    def __init__(self, lines: Sequence[AuditEntry], *, of_all_teams: bool = False) -> None:
        targets = [_target_of(line) for line in lines]

        def ids(field: str, model: str) -> set[int]:
            named = {getattr(line, field) for line in lines} - {None}
            return named | {number for name, number in targets if name == model}

        self.of_all_teams = of_all_teams
        self.users = User.objects.in_bulk(ids("actor_id", "user"))
        self.names: dict[str, dict[int, str]] = {"user": _words(self.users)}
        if of_all_teams:
            self.names["team"] = _words(Team.objects.in_bulk(ids("team_id", "team")))
            return
        # A refused request may have named what is another team's.
        teams = {line.team_id for line in lines}
        keys = ApiKey.objects.filter(team__in=teams).in_bulk(ids("key_id", "apikey"))
        self.names["apikey"] = {pk: key.name for pk, key in keys.items()}
        goals = Goal.objects.filter(team__in=teams).in_bulk(ids("goal_id", "goal"))
        self.names["goal"] = _words(goals)

    def who(self, line: AuditEntry) -> str:
        if line.actor_id is not None:
            gone = _("somebody who is gone (%(n)d)") % {"n": line.actor_id}
            return self.names["user"].get(line.actor_id, gone)
        if line.key_id is not None:
            name = self.names.get("apikey", {}).get(line.key_id, str(line.key_id))
            return _("a program, key %(name)s") % {"name": name}
        return _("the shell") if line.action.startswith("command.") else _("nobody known")

    def target(self, line: AuditEntry) -> str:
        model, number = _target_of(line)
        if not number:
            return line.target
        name = self.names.get(model, {}).get(number, str(number))
        return f"{TARGET_WORDS.get(model, model)} {name}"

    def goal(self, line: AuditEntry) -> str:
        if line.goal_id is None:
            return ""
        if self.of_all_teams:
            return str(line.goal_id)
        gone = _("%(n)d, which is gone") % {"n": line.goal_id}
        return self.names["goal"].get(line.goal_id, gone)

    def team(self, line: AuditEntry) -> str:
        if line.team_id is None or not self.of_all_teams:
            return ""
        gone = _("%(n)d, which is gone") % {"n": line.team_id}
        return self.names["team"].get(line.team_id, gone)


def _words(rows: Mapping[int, object]) -> dict[int, str]:
    return {pk: str(row) for pk, row in rows.items()}


def _target_of(line: AuditEntry) -> tuple[str, int]:
    """("apikey", 7); the number is 0 if there is none, or several ids."""
    model, _space, number = line.target.partition(" ")
    return model, int(number) if number.isdecimal() else 0


def rows_of(lines: Sequence[AuditEntry], *, of_all_teams: bool = False) -> list[AuditRow]:
    names = Names(lines, of_all_teams=of_all_teams)
    return [
        AuditRow(line, names.who(line), names.target(line), names.goal(line), names.team(line))
        for line in lines
    ]

"""Writes to goals."""

from dataclasses import replace

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team, User
from finetune_app.goals.measures import (
    MeasureError,
    MeasureSettings,
    Proposal,
    get_measure,
    propose,
)
from finetune_app.goals.models import Goal, Method
from finetune_app.goals.trivial_check import check_measure

BY_WORDING = ("close", "rouge")


def propose_measure(goal: Goal) -> Proposal:
    """Propose a measure from the goal's description and pairs. Where repeating the question would
    already come close in wording, another one by words; where it does by that too, a person."""
    found = propose(goal.description, goal.kind, goal.pairs)
    try:
        measure = get_measure(found.kind, found.settings)
        trivial = check_measure(measure, goal.pairs)
        if measure.graded and trivial and trivial.high:
            return _without_copying(goal, found.kind) or Proposal("choice", {}, trivial.sentence)
        return replace(found, settings=measure.settings)
    except MeasureError:  # the description looks like a rule, but is none
        return Proposal("choice", {}, _("Whether these are right is best decided by a person."))


def _without_copying(goal: Goal, kind: str) -> Proposal | None:
    """Another measure of wording, by which repeating the question scores little."""
    for other in BY_WORDING:
        measure = get_measure(other)
        trivial = check_measure(measure, goal.pairs)
        if other != kind and kind in BY_WORDING and trivial and not trivial.high:
            return Proposal(other, measure.settings, trivial.sentence)
    return None


@transaction.atomic
def create_goal(
    *,
    team: Team,
    user: User | None,
    name: str,
    description: str,
    kind: str,
    pairs: list[dict[str, str]],
    is_sample: bool = False,
) -> Goal:
    """Create a goal with the proposed measure, until somebody chooses one."""
    goal = Goal(
        team=team,
        created_by=user,
        name=name.strip(),
        description=description.strip(),
        kind=kind,
        pairs=pairs,
        is_sample=is_sample,
    )
    proposal = propose_measure(goal)
    goal.measure, goal.measure_settings = proposal.kind, proposal.settings
    goal.save()
    return goal


def change_goal(
    *, goal: Goal, name: str, description: str, kind: str, pairs: list[dict[str, str]]
) -> Goal:
    goal.name, goal.description, goal.kind = name.strip(), description.strip(), kind
    goal.pairs = pairs
    goal.save(update_fields=["name", "description", "kind", "pairs", "changed_at"])
    return goal


def choose_measure(*, goal: Goal, kind: str, settings: MeasureSettings) -> Goal:
    """Raises MeasureError when the settings cannot be used."""
    goal.measure_settings = get_measure(kind, settings).settings
    goal.measure = kind
    goal.save(update_fields=["measure", "measure_settings", "changed_at"])
    return goal


def choose_method(*, goal: Goal, method: str) -> Goal:
    """Set how the model will be customised. What was made for another method is kept."""
    goal.method = Method(method)
    goal.save(update_fields=["method", "changed_at"])
    return goal


def delete_goal(*, goal: Goal) -> None:
    """Delete the goal and everything below it; each app removes its files and ends its jobs."""
    with transaction.atomic():
        goal.delete()

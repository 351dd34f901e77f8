"""Writes of the wizard. An advice starts as a draft, and is kept once it is finished."""

from collections.abc import Mapping

from django.db import transaction
from django.utils import timezone

from finetune_app.accounts.models import User
from finetune_app.checks import services as checks
from finetune_app.datasets.services import dataset_of
from finetune_app.goals import services as goals
from finetune_app.goals.models import Goal, Method
from finetune_app.guide.advice import Answers, advise
from finetune_app.guide.advice.questions import Value
from finetune_app.guide.models import Advice
from finetune_app.guide.wizard.known_facts import known_values
from finetune_app.guide.wizard.question_screens import Screen


def latest_answers(goal: Goal) -> dict[str, Value | None]:
    """The answers of the draft, else of the newest advice."""
    latest = goal.advices.first()
    return dict(latest.answers) if latest else {}


@transaction.atomic
def answer(*, goal: Goal, user: User, screen: Screen, given: Mapping[str, Value] | None) -> Advice:
    """Save the answers of one screen; None means that it was skipped."""
    Goal.objects.lock(goal.pk)
    draft = goal.advices.draft() or Advice(goal=goal, answers=latest_answers(goal))
    draft.answers |= dict.fromkeys(screen.names) | dict(given or {})
    draft.by = user
    draft.save()
    return draft


@transaction.atomic
def finish(*, goal: Goal, user: User) -> Advice:
    """Advise from the answers and the known facts. Returns the newest advice if both are equal."""
    Goal.objects.lock(goal.pk)
    draft = goal.advices.draft()
    answers, facts = latest_answers(goal), known_values(goal)
    before = goal.advices.given().first()
    if before and (before.answers, before.known) == (answers, facts):
        if draft:
            draft.delete()
        return before
    advice = draft or Advice(goal=goal, answers=answers)
    found = advise(Answers.read(answers | facts))
    advice.known, advice.recommendation = facts, found.recommendation
    advice.result = found.as_json() | {
        "way": found.method,
        "doubts": list(found.doubts),
        "notes": len(found.keep_in_mind),
    }
    advice.by, advice.finished_at = user, timezone.now()
    advice.save()
    return advice


@transaction.atomic
def take(*, goal: Goal, method: str) -> None:
    """Choose a method, and record the choice in the newest advice."""
    _set_method(goal, method)
    latest = goal.advices.finished().first()
    if latest:
        latest.chosen = method
        latest.save(update_fields=["chosen"])


@transaction.atomic
def skip_all(*, goal: Goal, user: User, method: str) -> None:
    """Choose a method without advice. The questions are not offered again."""
    Goal.objects.lock(goal.pk)
    draft = goal.advices.draft() or Advice(goal=goal, answers=latest_answers(goal))
    draft.by, draft.finished_at, draft.chosen = user, timezone.now(), Method(method)
    draft.save()
    _set_method(goal, method)


def _set_method(goal: Goal, method: str) -> None:
    goals.choose_method(goal=goal, method=method)
    dataset = dataset_of(goal)
    if dataset.examples.exists():  # the findings depend on whether the method trains
        checks.check_after_edit(dataset)

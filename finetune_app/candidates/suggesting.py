"""Let a candidate suggest answers for rows that have none: start, and what a worker needs."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.candidates import services, shots
from finetune_app.candidates.models import Candidate, SuggestionRun
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Suggestion
from finetune_app.datasets.services import dataset_of, suggestions
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ACTIVE, Kind

AMOUNTS = (20, 100, 500, 2_000)  # rows
LEAST_TOKENS, MOST_TOKENS = 64, 400
LEARNED_FROM = 200  # answers from which the length of an answer is told


def start(*, goal: Goal, candidate: Candidate, most: int, by: User) -> SuggestionRun:
    """Queue it. A second click returns the run that is going already. Raise PlainError where no
    row waits for a suggestion of this candidate's."""
    with transaction.atomic():
        goal = Goal.objects.lock(goal.pk)
        going = goal.suggestion_runs.filter(job__state__in=ACTIVE).first()
        if going:
            return going
        rows = suggestions.waiting(dataset_of(goal), candidate.pk, most)
        if not rows:
            raise PlainError(
                _(
                    "No row waits for a suggestion of “%(name)s”. It has suggested for those that "
                    "are to do, or none are."
                )
                % {"name": candidate.name},
                status=409,
                title=_("Nothing to suggest"),
            )
        job = jobs.create(
            team=goal.team,
            kind=Kind.SUGGEST,
            spec={},
            title=_("Suggestions by %(name)s") % {"name": candidate.name},
        )
        return SuggestionRun.objects.create(
            goal=goal, candidate=candidate, job=job, rows=len(rows), started_by=by
        )


def made(run: SuggestionRun) -> int:
    """How many suggestions this run has left so far."""
    return Suggestion.objects.filter(
        candidate_id=run.candidate_id, example__dataset__goal=run.goal_id, at__gte=run.created_at
    ).count()


def name_of(candidate: Candidate) -> str:
    """Who suggests, as people know it."""
    named = (candidate.name, candidate.model_name)
    return (
        named[0]
        if named[0] == named[1]
        else _("%(name)s, %(model)s") % {"name": named[0], "model": named[1]}
    )


def questions(run: SuggestionRun, so_far: int) -> list[dict[str, Any]]:
    """What is asked: the rows still to do, each without its answer, whatever it is used for."""
    rows = suggestions.waiting(dataset_of(run.goal), run.candidate_id, run.rows - so_far)
    return [
        {"row": row.pk, "messages": asked}
        for row in rows
        if (asked := without_answer(row.messages))
    ]


def without_answer(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    return messages[:-1] if messages and messages[-1]["role"] == "assistant" else messages


def tokens_for(run: SuggestionRun) -> int:
    """Enough for the longest answer known, and some more."""
    if run.candidate.is_remote:
        return 1_024  # some think in tokens before they answer
    longest = max(map(len, shots.answers(run.goal, LEARNED_FROM)), default=2 * MOST_TOKENS)
    return min(max(longest // 2 + 32, LEAST_TOKENS), MOST_TOKENS)


def require_ready(candidate: Candidate) -> Candidate:
    """The same with today's documents. Raise PlainError where it cannot answer."""
    services.require_its_adapter(candidate)
    return services.current(candidate)

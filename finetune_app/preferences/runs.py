"""Runs in which a candidate answers prompts twice: started, stopped, continued, stored."""

import random

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.candidates import answer_length, suggestion_runs
from finetune_app.candidates.models import Candidate
from finetune_app.core.errors import PlainError
from finetune_app.datasets.services import dataset_of
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import CAN_CONTINUE, Job
from finetune_app.preferences import prompts
from finetune_app.preferences.job_messages import AnswersEvent, PromptOfPair, SkippedEvent
from finetune_app.preferences.models import AnswerPair, PreferenceRun

PROMPT_COUNTS = (20, 40, 80, 160)  # offered on the page
DEFAULT_COUNT = 80
# A model that was not trained yet may answer at length where a word is wanted.
MIN_NEW_TOKENS = 200


def start_run(*, goal: Goal, candidate: Candidate, count: int, by: User) -> PreferenceRun:
    """Queue a run, or return the one that is active already.

    Of an earlier run, what nobody has chosen on is deleted. Raises PlainError when there is no
    prompt to ask.
    """
    with transaction.atomic():
        goal = Goal.objects.lock(goal.pk)
        active = goal.preference_runs.active().first()
        if active:
            return active
        rows = prompts.pick_rows(dataset_of(goal), count)
        if not rows:
            raise PlainError(
                _(
                    "There is no prompt to ask: each one has a pair already, or is kept back for "
                    "the test. Add examples first; they need no answer for this."
                ),
                status=409,
                title=_("No prompts to ask"),
            )
        AnswerPair.objects.filter(run__goal=goal).undecided().delete()
        job = jobs.create(
            team=goal.team,
            kind="preferences",
            spec={},
            title=_("Two answers each by %(name)s") % {"name": candidate.name},
        )
        run = PreferenceRun.objects.create(goal=goal, candidate=candidate, job=job, started_by=by)
        AnswerPair.objects.bulk_create(
            AnswerPair(
                run=run,
                example=row,
                place=place,
                fingerprint=prompts.fingerprint(row.messages),
                swapped=random.random() < 0.5,
            )
            for place, row in enumerate(rows)
        )
    return run


def stop(*, run: PreferenceRun) -> None:
    jobs.ask_stop(run.job)


def resume(*, run: PreferenceRun) -> None:
    """Have the rest answered. Raises PlainError unless it is stopped."""
    if run.job.state not in CAN_CONTINUE:
        raise PlainError(_("This is not stopped, so there is nothing to continue."), status=409)
    jobs.ask_continue(run.job)


def newest_run(goal: Goal) -> PreferenceRun | None:
    return goal.preference_runs.select_related("job", "candidate").first()


def prompts_to_answer(run: PreferenceRun) -> list[PromptOfPair]:
    """The prompts without answers; not those that have changed or become test rows meanwhile."""
    waiting = run.answer_pairs.filter(state=AnswerPair.State.WAITING).select_related("example")
    found: list[PromptOfPair] = []
    for pair in waiting:
        if pair.fingerprint == prompts.fingerprint(pair.example.messages) and (
            prompts.may_be_learned(pair.example)
        ):
            messages = suggestion_runs.without_answer(pair.example.messages)
            found.append({"pair": pair.pk, "messages": messages})
        else:
            _set_state(run.job, pair.pk, state=AnswerPair.State.GONE)
    return found


def max_new_tokens(run: PreferenceRun) -> int:
    """Tokens of an answer before it is cut off."""
    known = suggestion_runs.max_new_tokens(run.goal, run.candidate)
    return max(known, min(MIN_NEW_TOKENS, answer_length.MAX_NEW_TOKENS))


def store_answers(job: Job, event: AnswersEvent) -> None:
    _set_state(
        job,
        event["pair"],
        state=AnswerPair.State.READY,
        first=event["first"],
        second=event["second"],
    )


def store_skipped(job: Job, event: SkippedEvent) -> None:
    _set_state(job, event["pair"], state=AnswerPair.State(event["why"]))


def _set_state(job: Job, pair_id: int, **fields: str) -> None:
    """Once: a pair that is no longer waiting, or was deleted with its row, stays as it is."""
    waiting = AnswerPair.objects.filter(run__job=job, state=AnswerPair.State.WAITING)
    waiting.filter(pk=pair_id).update(**fields)

"""Runs in which a candidate suggests answers for rows of the dataset that have none."""

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.candidates import answer_length, few_shot, services
from finetune_app.candidates.models import Candidate, SuggestionRun
from finetune_app.candidates.specs import PromptToAnswer
from finetune_app.core.chat_messages import Message
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Example, Suggestion
from finetune_app.datasets.services import dataset_of
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.labelling import suggestions

ROW_COUNTS = (20, 100, 500, 2_000)  # offered on the page
KNOWN_ANSWERS = 200  # that are read to estimate the length of an answer


def start_run(*, goal: Goal, candidate: Candidate, max_rows: int, by: User) -> SuggestionRun:
    """Queue a run, or return the one that is active already.

    Raises PlainError when no row needs a suggestion of this candidate.
    """
    with transaction.atomic():
        goal = Goal.objects.lock(goal.pk)
        active = goal.suggestion_runs.active().first()
        if active:
            return active
        rows = _rows_to_ask(goal, candidate.pk, max_rows)
        if not rows:
            raise PlainError(
                _(
                    "No row is waiting for a suggestion by “%(name)s”. It has already been asked "
                    "about every row to do, or there are none to do outside the test."
                )
                % {"name": candidate.name},
                status=409,
                title=_("Nothing to suggest"),
            )
        job = jobs.create(
            team=goal.team,
            kind="suggest",
            spec={},
            title=_("Suggestions by %(name)s") % {"name": candidate.name},
        )
        return SuggestionRun.objects.create(
            goal=goal, candidate=candidate, job=job, rows=len(rows), started_by=by
        )


def _rows_to_ask(goal: Goal, candidate_id: int, limit: int) -> list[Example]:
    """Rows without a suggestion of the candidate; what it could not answer before comes last."""
    runs = goal.suggestion_runs.filter(candidate=candidate_id)
    refused = {row for rows in runs.values_list("refused", flat=True) for row in rows}
    return suggestions.rows_without_suggestion(dataset_of(goal), candidate_id, limit, refused)


def record_refused(run: SuggestionRun, row: int) -> None:
    """Remember a row that the candidate could not answer. An event may be delivered twice."""
    with transaction.atomic():
        locked = SuggestionRun.objects.select_for_update().get(pk=run.pk)
        if row not in locked.refused:
            locked.refused.append(row)
            locked.save(update_fields=["refused"])


def count_made(run: SuggestionRun) -> int:
    """How many suggestions this run has made so far."""
    return Suggestion.objects.filter(
        candidate_id=run.candidate_id, example__dataset__goal=run.goal_id, at__gte=run.created_at
    ).count()


def display_name(candidate: Candidate) -> str:
    """The candidate and its model, as shown beside a suggestion."""
    if candidate.name == candidate.model_name:
        return candidate.name
    return _("%(name)s, %(model)s") % {"name": candidate.name, "model": candidate.model_name}


def count_asked(run: SuggestionRun) -> int:
    """How many rows this run has asked so far."""
    return count_made(run) + len(run.refused)


def prompts_to_answer(run: SuggestionRun) -> list[PromptToAnswer]:
    """The rows that this run has not asked yet, without their answers."""
    left = run.rows - count_asked(run)
    rows = _rows_to_ask(run.goal, run.candidate_id, left + len(run.refused))
    new = [row for row in rows if row.pk not in run.refused][:left]
    return [
        {"row": row.pk, "messages": messages}
        for row in new
        if (messages := without_answer(row.messages))
    ]


def without_answer(messages: list[Message]) -> list[Message]:
    return messages[:-1] if messages and messages[-1]["role"] == "assistant" else messages


def max_new_tokens(goal: Goal, candidate: Candidate) -> int:
    """Enough tokens for the longest known answer, and a few more."""
    if candidate.is_remote:
        return answer_length.REMOTE_BATCH_TOKENS
    answers = few_shot.known_answers(few_shot.showables(goal), KNOWN_ANSWERS)
    if not answers:
        return answer_length.MAX_NEW_TOKENS
    return answer_length.max_new_tokens(max(map(len, answers)))


def require_ready(candidate: Candidate) -> Candidate:
    """The candidate with the current documents. Raises PlainError when it cannot answer."""
    services.require_adapter(candidate)
    return services.with_current_documents(candidate)

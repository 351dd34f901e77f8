"""Services of the workbench: edit a draft, improve it, and save or restore versions."""

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.basemodels.models import BaseModel, BaseModelChoice
from finetune_app.basemodels.services import usable_by
from finetune_app.candidates import (
    batch_inference,
    few_shot,
    prompt_hints,
    prompt_rewriting,
    services,
    validation_prompts,
)
from finetune_app.candidates.models import Candidate, WorkbenchDraft
from finetune_app.candidates.prompt_builder import DEFAULT_CONTEXT_LENGTH
from finetune_app.candidates.prompt_hints import Hint
from finetune_app.candidates.validation_prompts import PromptResult
from finetune_app.core.errors import PlainError
from finetune_app.goals.goal_prompt import goal_instructions
from finetune_app.goals.models import Goal
from finetune_app.providers.models import Endpoint

KNOWN_ANSWERS = 500  # correct answers from which the expected format is inferred


def draft_of(*, goal: Goal, user: User) -> WorkbenchDraft:
    """The user's draft for the goal.

    A new one starts with the instructions that an evaluation compares against, and is not saved.
    """
    drafts = WorkbenchDraft.objects.filter(goal=goal, by=user)
    draft = drafts.select_related("base_model", "endpoint").first() or WorkbenchDraft(
        by=user,
        instructions=goal_instructions(goal),
        base_model=default_base_model(goal, chosen_base_model(goal)),
    )
    draft.goal = goal  # not to be read again
    return draft


def chosen_base_model(goal: Goal) -> BaseModelChoice | None:
    return BaseModelChoice.objects.filter(goal=goal).select_related("base_model").first()


def default_base_model(goal: Goal, chosen: BaseModelChoice | None) -> BaseModel | None:
    """The base model chosen for the goal, else any installed one."""
    if chosen and chosen.base_model.is_here:
        return chosen.base_model
    return next((model for model in usable_by(goal.team) if model.is_here), None)


def save_draft(*, draft: WorkbenchDraft, **fields: Any) -> WorkbenchDraft:
    """Save these fields alone: another request may have saved others since `draft` was read."""
    if draft.pk is None:  # a second click may have created it just now
        first = {"instructions": draft.instructions, "base_model": draft.base_model}
        stored = WorkbenchDraft.objects.get_or_create(goal=draft.goal, by=draft.by, defaults=first)
        draft.pk = stored[0].pk
    for name, value in fields.items():
        setattr(draft, name, value)
    draft.save(update_fields=[*fields, "changed_at"])
    return draft


# ---- Few-shot examples ----


def add_shot(*, draft: WorkbenchDraft, key: str) -> None:
    """Add the example that `key` names. Raises PlainError when it cannot be shown."""
    found = few_shot.find_by_key(draft.goal, key)
    if found is None:
        raise PlainError(_("That example is gone, or cannot be shown."), status=422)
    _add_shot(draft, found)


def _add_shot(draft: WorkbenchDraft, found: few_shot.Showable) -> None:
    if found.shot in draft.shots:
        return
    if len(draft.shots) >= few_shot.MAX_SHOTS:
        raise PlainError(
            _("%(n)d examples are enough. Remove one first.") % {"n": few_shot.MAX_SHOTS},
            status=422,
        )
    if len(few_shot.fitting([*draft.shots, found.shot], _context_length(draft))) <= len(
        draft.shots
    ):
        raise PlainError(
            _(
                "With that example there is no room left for the question. Remove another one "
                "first, or choose a shorter one."
            ),
            status=422,
        )
    save_draft(draft=draft, shots=[*draft.shots, found.shot])


def remove_shot(*, draft: WorkbenchDraft, index: int) -> None:
    save_draft(draft=draft, shots=[shot for at, shot in enumerate(draft.shots) if at != index])


def pick_shots(*, draft: WorkbenchDraft) -> None:
    """Replace the examples by a typical one and some that differ from it and from each other."""
    picked = few_shot.pick(draft.goal, context_length=_context_length(draft))
    if not picked:
        raise PlainError(_("No example is short enough to be shown."), status=422)
    save_draft(draft=draft, shots=picked)


def _context_length(draft: WorkbenchDraft) -> int:
    model = draft.endpoint or draft.base_model
    return (model.context if model else 0) or DEFAULT_CONTEXT_LENGTH


# ---- Improvements ----


def current_results(draft: WorkbenchDraft) -> list[PromptResult]:
    """The results of the draft as it is now."""
    prompts = validation_prompts.prompts_of_goal(draft.goal)
    return validation_prompts.results_of(draft.goal, draft.as_candidate(), prompts)


def hints_for(
    candidate: Candidate, results: list[PromptResult], showable: few_shot.Showables
) -> list[Hint]:
    known = few_shot.known_answers(showable, KNOWN_ANSWERS)
    return prompt_hints.find_hints(results, known, candidate)


def apply_hint(*, draft: WorkbenchDraft, key: str) -> None:
    """Apply the hint's change to the draft; does nothing when the hint no longer applies."""
    showable = few_shot.showables(draft.goal)
    hints = hints_for(draft.as_candidate(), current_results(draft), showable)
    hint = next((one for one in hints if one.key == key), None)
    if hint is None:
        return
    if hint.pick:
        pick_shots(draft=draft)
    elif hint.show:
        found = few_shot.find_by_answer(draft.goal, hint.show)
        if found is None:
            raise PlainError(
                _("No example with that answer is short enough to be shown."), status=422
            )
        _add_shot(draft, found)
    elif hint.insert:
        words = f"{draft.instructions.rstrip()}\n\n{hint.insert}".strip()
        save_draft(draft=draft, instructions=words)


def possible_writers(
    goal: Goal, local: Iterable[BaseModel], remote: Iterable[Endpoint]
) -> list[Candidate]:
    """Unsaved candidates that can write instructions: remote models and large local ones."""
    large = [one for one in local if one.parameters >= prompt_rewriting.MIN_WRITER_PARAMETERS]
    return [
        *(Candidate(goal=goal, endpoint=one) for one in remote),
        *(Candidate(goal=goal, base_model=one) for one in large),
    ]


def propose_instructions(*, draft: WorkbenchDraft, writer: Candidate) -> None:
    """Let `writer` propose new instructions from the wrong answers. The user may go on typing
    meanwhile, so the draft is read again once it has answered.

    Raises PlainError when there are no wrong answers, or when `writer` proposes nothing new.
    """
    results = current_results(draft)
    if not any(one.answer and one.answer.passed is False for one in results):
        raise PlainError(
            _("Try the instructions first: a model learns from what went wrong."), status=422
        )
    messages = prompt_rewriting.rewrite_messages(draft.instructions.strip(), draft.shots, results)
    result = batch_inference.generate(
        writer, [messages], max_new_tokens=prompt_rewriting.MAX_NEW_TOKENS
    )
    draft.refresh_from_db(fields=["instructions", "shots", "sampling"])
    if result.error:
        raise PlainError(result.error, status=502, title=_("No answer"))
    text = prompt_rewriting.extract_instructions(result.answers[0].text)
    if not text or text == draft.instructions.strip():
        raise PlainError(
            _("%(name)s had nothing better to say.") % {"name": writer.model_name}, status=502
        )
    save_draft(draft=draft, proposal=text[:20_000], proposed_by=writer.model_name[:120])


def accept_proposal(*, draft: WorkbenchDraft) -> None:
    if draft.proposal:
        save_draft(draft=draft, instructions=draft.proposal, proposal="", proposed_by="")


def reject_proposal(*, draft: WorkbenchDraft) -> None:
    save_draft(draft=draft, proposal="", proposed_by="")


# ---- Versions ----


def save_version(*, draft: WorkbenchDraft) -> Candidate:
    """Save the draft as a candidate. Raises PlainError when it is empty or has no model."""
    if not (draft.instructions.strip() or draft.shots):
        raise PlainError(
            _("There is nothing to save yet: write instructions or add an example."), status=422
        )
    if not (draft.base_model or draft.endpoint):
        raise PlainError(_("Choose which model answers first."), status=422)
    return services.save_version(
        goal=draft.goal,
        base_model=draft.base_model,
        endpoint=draft.endpoint,
        instructions=draft.instructions,
        shots=draft.shots,
        sampling=draft.sampling,
    )


def restore_version(*, draft: WorkbenchDraft, candidate: Candidate) -> None:
    """Copy a saved version into the draft."""
    save_draft(
        draft=draft,
        instructions=candidate.instructions,
        shots=candidate.shots,
        base_model=candidate.base_model,
        endpoint=candidate.endpoint,
        sampling=candidate.sampling,
        proposal="",
        proposed_by="",
    )

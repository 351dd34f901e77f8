"""Write in the workbench: the words, the shots, the model; keep a version, take one up again."""

from typing import Any

from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.basemodels.models import BaseModel
from finetune_app.basemodels.services import usable_by
from finetune_app.candidates import improving, practice, services, shots, trying
from finetune_app.candidates.improving import Hint
from finetune_app.candidates.models import Candidate, WorkbenchDraft
from finetune_app.core.errors import PlainError
from finetune_app.goals.goal_prompt import goal_instructions
from finetune_app.goals.models import Goal

LEARNED_FROM = 200  # right answers from which the wanted form is told


def draft_of(*, goal: Goal, user: User) -> WorkbenchDraft:
    """This person's draft. One that was never written to begins with the goal's own words, the
    same as Evaluation's fair rival, and is not in the database yet."""
    found = WorkbenchDraft.objects.filter(goal=goal, by=user).select_related(
        "base_model", "endpoint"
    )
    return found.first() or WorkbenchDraft(
        goal=goal, by=user, instructions=goal_instructions(goal), base_model=first_model(goal)
    )


def first_model(goal: Goal) -> BaseModel | None:
    """The one that was chosen for the goal, else any that is here."""
    chosen = getattr(goal, "base_choice", None)
    if chosen and chosen.base_model.is_here:
        return chosen.base_model
    return next((model for model in usable_by(goal.team) if model.is_here), None)


def save(*, draft: WorkbenchDraft, **fields: Any) -> WorkbenchDraft:
    """Set these fields; as often as a person types."""
    for name, value in fields.items():
        setattr(draft, name, value)
    draft.save()
    return draft


# ---- Shots ----


def add_shot(*, draft: WorkbenchDraft, key: str) -> None:
    """Raise PlainError when what `key` names cannot be shown."""
    found = shots.find(draft.goal, key)
    if found is None:
        raise PlainError(_("That example is not there any more, or cannot be shown."), status=422)
    _show(draft, found)


def _show(draft: WorkbenchDraft, found: shots.Showable) -> None:
    if found.shot in draft.shots:
        return
    if len(draft.shots) >= shots.MOST:
        raise PlainError(
            _("%(n)d examples are enough. Take one out first.") % {"n": shots.MOST}, status=422
        )
    if len(shots.within([*draft.shots, found.shot], _room(draft))) <= len(draft.shots):
        raise PlainError(
            _(
                "With that example there is no room left for the question. Take another out first, "
                "or choose a shorter one."
            ),
            status=422,
        )
    save(draft=draft, shots=[*draft.shots, found.shot])


def drop_shot(*, draft: WorkbenchDraft, place: int) -> None:
    save(draft=draft, shots=[shot for at, shot in enumerate(draft.shots) if at != place])


def pick_shots(*, draft: WorkbenchDraft) -> None:
    """The most typical one and the most different ones, in place of those there are."""
    picked = shots.pick(draft.goal, room=_room(draft))
    if not picked:
        raise PlainError(_("No example is short enough to be shown."), status=422)
    save(draft=draft, shots=picked)


def _room(draft: WorkbenchDraft) -> int:
    model = draft.endpoint or draft.base_model
    return (model.context if model else 0) or services.LEAST_CONTEXT


# ---- Better words ----


def hints_for(draft: WorkbenchDraft, tried: list[practice.Tried]) -> list[Hint]:
    known = shots.answers(draft.goal, LEARNED_FROM)
    return improving.hints(tried, known, draft.as_candidate())


def take_hint(*, draft: WorkbenchDraft, key: str) -> None:
    """Put in what a hint of the present failures says."""
    tried = practice.results(draft.goal, draft.as_candidate(), practice.prompts(draft.goal))
    hint = next((one for one in hints_for(draft, tried) if one.key == key), None)
    if hint is None:  # the words have changed, or another tab was quicker
        return
    if hint.pick:
        pick_shots(draft=draft)
    elif hint.show:
        found = shots.with_answer(draft.goal, hint.show)
        if found:
            _show(draft, found)
    elif hint.insert:
        words = f"{draft.instructions.rstrip()}\n\n{hint.insert}".strip()
        save(draft=draft, instructions=words)


def capable(goal: Goal) -> list[Candidate]:
    """Who may write instructions: models elsewhere, and large ones here. Not kept."""
    remote = [Candidate(goal=goal, endpoint=one) for one in goal.team.endpoints.all()]
    large = usable_by(goal.team).filter(parameters__gte=improving.CAPABLE)
    return remote + [Candidate(goal=goal, base_model=one) for one in large if one.is_here]


def propose(*, draft: WorkbenchDraft, writer: Candidate) -> None:
    """Let `writer` write new instructions from the failures; a proposal, not more."""
    tried = practice.results(draft.goal, draft.as_candidate(), practice.prompts(draft.goal))
    if not any(one.answer and one.answer.passed is False for one in tried):
        raise PlainError(
            _("Try the instructions first: a model learns from what went wrong."), status=422
        )
    messages = improving.ask_for_better(draft.instructions.strip(), draft.shots, tried)
    heard, trouble = trying.answers(writer, [messages], max_tokens=improving.TOKENS)
    if trouble:
        raise PlainError(trouble, status=502, title=_("No answer"))
    text = improving.tidied(heard[0].text)
    if not text or text == draft.instructions.strip():
        raise PlainError(
            _("%(name)s had nothing better to say.") % {"name": writer.model_name}, status=502
        )
    save(draft=draft, proposal=text[:20_000], proposed_by=writer.model_name[:120])


def take_proposal(*, draft: WorkbenchDraft) -> None:
    if draft.proposal:
        save(draft=draft, instructions=draft.proposal, proposal="", proposed_by="")


def leave_proposal(*, draft: WorkbenchDraft) -> None:
    save(draft=draft, proposal="", proposed_by="")


# ---- Versions ----


def keep(*, draft: WorkbenchDraft) -> Candidate:
    """The draft as a candidate. Raise PlainError when there is nothing to keep."""
    if not (draft.instructions.strip() or draft.shots):
        raise PlainError(
            _("There is nothing to keep yet: write instructions or show an example."), status=422
        )
    if not (draft.base_model or draft.endpoint):
        raise PlainError(_("Choose which model answers first."), status=422)
    return services.keep_prompt(
        goal=draft.goal,
        base_model=draft.base_model,
        endpoint=draft.endpoint,
        instructions=draft.instructions,
        shots=draft.shots,
        sampling=draft.sampling,
    )


def take_up(*, draft: WorkbenchDraft, candidate: Candidate) -> None:
    """Go on from a kept version. It stays as it is."""
    save(
        draft=draft,
        instructions=candidate.instructions,
        shots=candidate.shots,
        base_model=candidate.base_model,
        endpoint=candidate.endpoint,
        sampling=candidate.sampling,
        proposal="",
        proposed_by="",
    )

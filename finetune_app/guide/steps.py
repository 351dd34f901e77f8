"""The names of the six steps, and the three methods of step 4."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from finetune_app.goals.models import Goal, Method


@dataclass(frozen=True)
class MethodOption:
    """One of the three methods, with the page that works on it."""

    method: Method
    name: Promise  # shown as the name of step 4 when this method is chosen
    route: str  # URL name of its page

    def url(self, goal: Goal) -> str:
        return reverse(self.route, kwargs={"goal_id": goal.pk})

    def belongs_to(self, method: str) -> bool:
        """Whether a goal whose method is `method` uses this one, alone or combined."""
        chosen = Method(method)
        return {
            Method.PROMPT: chosen == Method.PROMPT,
            Method.RAG: chosen.searches,
            Method.FINE_TUNE: chosen.trains,
        }[self.method]


INSTRUCTIONS = MethodOption(Method.PROMPT, _("Instructions"), "candidates:workbench")
DOCUMENTS = MethodOption(Method.RAG, _("Documents"), "knowledge:page")
TRAINING = MethodOption(Method.FINE_TUNE, _("Training"), "training:page")
METHOD_OPTIONS = (INSTRUCTIONS, DOCUMENTS, TRAINING)

STEP_4 = {
    Method.PROMPT: INSTRUCTIONS.name,
    Method.RAG: DOCUMENTS.name,
    Method.FINE_TUNE: TRAINING.name,
    Method.RAG_THEN_FINE_TUNE: _("Documents, training"),
}

STEP_NAMES = [
    _("Goal"),
    _("Dataset"),
    _("Base model"),
    _("Training"),
    _("Evaluation"),
    _("Deployment"),
]


def step_name(goal: Goal, number: int) -> str:
    """The name of a step; step 4 is named after the goal's method."""
    return str(STEP_4[Method(goal.method)] if number == 4 else STEP_NAMES[number - 1])

"""The three ways to customise a model, as step 4 of the rail: instructions, documents, training."""

from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from finetune_app.goals.models import Goal, Method


@dataclass(frozen=True)
class Way:
    method: Method
    name: Promise  # of step 4, when this is the chosen method
    route: str  # the name of its page

    def url(self, goal: Goal) -> str:
        return reverse(self.route, kwargs={"goal_id": goal.pk})

    def belongs_to(self, method: str) -> bool:
        """Whether a goal with this method goes this way, alone or as one of two."""
        chosen = Method(method)
        return {
            Method.PROMPT: chosen == Method.PROMPT,
            Method.RAG: chosen.searches,
            Method.FINE_TUNE: chosen.trains,
        }[self.method]


INSTRUCTIONS = Way(Method.PROMPT, _("Instructions"), "candidates:workbench")
DOCUMENTS = Way(Method.RAG, _("Documents"), "knowledge:page")
TRAINING = Way(Method.FINE_TUNE, _("Training"), "training:page")
WAYS = (INSTRUCTIONS, DOCUMENTS, TRAINING)

STEP_4 = {
    Method.PROMPT: INSTRUCTIONS.name,
    Method.RAG: DOCUMENTS.name,
    Method.FINE_TUNE: TRAINING.name,
    Method.RAG_THEN_FINE_TUNE: _("Documents, training"),
}

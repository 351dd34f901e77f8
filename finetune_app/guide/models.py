"""The advice of the wizard: the answers and the recommendation."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.goals.models import Goal, Method
from finetune_app.guide.advice import Recommend

RECOMMEND = [
    (Recommend.PROMPT, _("Start with better instructions")),
    (Recommend.RAG, _("Let it look things up")),
    (Recommend.FINE_TUNE, _("Teach a model")),
    (Recommend.RAG_THEN_FINE_TUNE, _("Look things up first, then teach it")),
    (Recommend.COLLECT_PAIRS, _("Collect more examples first")),
    (Recommend.COLLECT_DOCUMENTS, _("Gather your documents first")),
    (Recommend.COLLECT_TESTS, _("Write test questions first")),
    (Recommend.GOOD_ENOUGH, _("Keep what you have")),
]


class AdviceQuerySet(models.QuerySet["Advice"]):
    def finished(self) -> "AdviceQuerySet":
        """Answered to the end, or skipped as a whole."""
        return self.exclude(finished_at=None)

    def given(self) -> "AdviceQuerySet":
        """Those with a recommendation: not skipped as a whole."""
        return self.finished().exclude(recommendation="")

    def draft(self) -> "Advice | None":
        """The unfinished advice; a goal has at most one."""
        return self.filter(finished_at=None).first()


class Advice(models.Model):
    """The wizard's answers, its recommendation and reasons. Earlier advice is kept.

    `result` keeps the texts of the time; a later release may word them differently.
    """

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="advices")
    answers = models.JSONField(default=dict)  # null: that question was skipped
    known = models.JSONField(default=dict)  # counted instead of asked: {"pairs": 214}
    recommendation = models.CharField(max_length=20, choices=RECOMMEND, blank=True)
    result = models.JSONField(default=dict)  # AdviceJson
    chosen = models.CharField(max_length=20, choices=Method.choices, blank=True)
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = AdviceQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["goal"], condition=Q(finished_at=None), name="one_draft_of_advice_a_goal"
            )
        ]

    def __str__(self) -> str:
        return str(self.get_recommendation_display() or self.get_chosen_display())

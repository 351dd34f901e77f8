"""Step 1: what should the model do, and how will you know?"""

from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team, User


class GoalKind(models.TextChoices):
    STYLE = "style", _("A style or tone")
    FORMAT = "format", _("A strict format")
    TASK = "task", _("A task of ours, done reliably")
    BEHAVIOUR = "behaviour", _("A way of behaving")


class MeasureKind(models.TextChoices):
    EXACT = "exact", _("The exact answer")
    JSON = "json", _("Valid JSON with the right fields")
    XML = "xml", _("Valid XML with the right fields")
    BASH = "bash", _("A bash command that parses")
    RULES = "rules", _("Rules you write")
    CLOSE = "close", _("Close wording")
    CHOICE = "choice", _("A person's blind choice")


class GoalQuerySet(models.QuerySet["Goal"]):
    def visible_to(self, user: User) -> "GoalQuerySet":
        return self.filter(team__memberships__user=user)


class Goal(models.Model):
    """The root: everything below it (dataset, trainings, evaluations) goes when it goes."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="goals")
    name = models.CharField(_("name"), max_length=100)
    description = models.TextField(_("what should the model do"), blank=True)
    kind = models.CharField(max_length=12, choices=GoalKind.choices, default=GoalKind.TASK)
    pairs = models.JSONField(default=list)  # [{"prompt": ..., "answer": ...}], two or three
    measure = models.CharField(max_length=8, choices=MeasureKind.choices, blank=True)
    measure_settings = models.JSONField(default=dict)
    is_sample = models.BooleanField(default=False)
    last_training = models.PositiveIntegerField(default=0)  # numbers are not given out twice
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    objects = GoalQuerySet.as_manager()

    class Meta:
        ordering = ["-changed_at", "-pk"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("goals:page", kwargs={"goal_id": self.pk})

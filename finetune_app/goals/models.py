"""Step 1: goals, with their kind, method and success measure."""

from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team, User


class GoalKind(models.TextChoices):
    STYLE = "style", _("A style or tone")
    FORMAT = "format", _("A strict format")
    TASK = "task", _("A task of ours, done reliably")
    BEHAVIOUR = "behaviour", _("A way of behaving")
    KNOWLEDGE = "knowledge", _("Answers from our own documents")


class Method(models.TextChoices):
    """How the model is customised. Step 4 is the page of the method."""

    PROMPT = "prompt", _("Better instructions")
    RAG = "rag", _("Searching your documents")
    FINE_TUNE = "fine_tune", _("Fine-tuning")
    RAG_THEN_FINE_TUNE = "rag_then_fine_tune", _("Your documents, then fine-tuning")

    @property
    def searches(self) -> bool:
        return self in (Method.RAG, Method.RAG_THEN_FINE_TUNE)

    @property
    def trains(self) -> bool:
        return self in (Method.FINE_TUNE, Method.RAG_THEN_FINE_TUNE)


class MeasureKind(models.TextChoices):
    EXACT = "exact", _("The exact answer")
    NUMBER = "number", _("The right number")
    REFUSAL = "refusal", _("Declining when it should")
    JSON = "json", _("Valid JSON with the right fields")
    XML = "xml", _("Valid XML with the right fields")
    ITEMS = "items", _("The right things in a list")
    BASH = "bash", _("A bash command that parses")
    PATTERN = "pattern", _("What a pattern finds")
    CHOICE = "choice", _("A person's blind choice")
    CLOSE = "close", _("Close wording")
    ROUGE = "rouge", _("The same words in the same order")
    MEANING = "meaning", _("Close in meaning")
    RULES = "rules", _("Rules you write")


class GoalQuerySet(models.QuerySet["Goal"]):
    def visible_to(self, user: User) -> "GoalQuerySet":
        """The goals of the teams that `user` is a member of."""
        return self.filter(team__memberships__user=user)

    def lock(self, pk: int) -> "Goal":
        """The current goal, its row locked until the transaction ends.

        Taken before changing what belongs to a goal, so that concurrent requests are serialised.
        """
        return self.select_for_update().get(pk=pk)


class Goal(models.Model):
    """The root of dataset, trainings, evaluations and so on, which are deleted with it."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="goals")
    name = models.CharField(_("name"), max_length=100)
    description = models.TextField(_("what should the model do"), blank=True)
    kind = models.CharField(max_length=12, choices=GoalKind.choices, default=GoalKind.TASK)
    method = models.CharField(max_length=20, choices=Method.choices, default=Method.FINE_TUNE)
    pairs = models.JSONField(default=list)  # [{"prompt": ..., "answer": ...}], two or three
    measure = models.CharField(max_length=8, choices=MeasureKind.choices, blank=True)
    measure_settings = models.JSONField(default=dict)
    is_sample = models.BooleanField(default=False)
    last_training = models.PositiveIntegerField(default=0)  # numbers are never reused
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

    @property
    def trains(self) -> bool:
        """Whether a model is trained on the examples; else they are questions to test with."""
        return Method(self.method).trains

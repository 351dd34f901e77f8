"""Anything that can answer: a base model, plus optional instructions, shots, adapter."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from finetune_app.basemodels.models import BaseModel
from finetune_app.goals.models import Goal
from finetune_app.training.models import Training


class CandidateKind(models.TextChoices):
    BASE = "base", _("Base model")
    PROMPT = "prompt", _("With a good prompt")
    TUNED = "tuned", _("Tuned")


class Candidate(models.Model):
    """Immutable once evaluated (`frozen_at`): an edit makes a new revision."""

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="candidates")
    kind = models.CharField(max_length=8, choices=CandidateKind.choices)
    name = models.CharField(max_length=100)
    revision = models.PositiveIntegerField(default=1)
    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="candidates")
    instructions = models.TextField(blank=True)
    shots = models.JSONField(default=list)  # [{"prompt", "answer"}], from train only
    training = models.ForeignKey(
        Training, null=True, blank=True, on_delete=models.CASCADE, related_name="candidates"
    )
    adapter_sha256 = models.CharField(max_length=64, blank=True)
    number_format = models.CharField(max_length=8, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    frozen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name

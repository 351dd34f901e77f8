"""Anything that can answer: a model, plus optional instructions, shots, knowledge, adapter."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from finetune_app.basemodels.models import BaseModel
from finetune_app.goals.models import Goal
from finetune_app.knowledge.models import Knowledge
from finetune_app.providers.models import Endpoint
from finetune_app.training.models import Training


class CandidateKind(models.TextChoices):
    """What a candidate is made of, from the least to the most work."""

    BASE = "base", _("Base model")
    PROMPT = "prompt", _("With a good prompt")
    RAG = "rag", _("With your documents")
    TUNED = "tuned", _("Tuned")
    COMBINED = "combined", _("Tuned, with your documents")


EFFORT = {kind.value: place for place, kind in enumerate(CandidateKind)}


class Candidate(models.Model):
    """Immutable once evaluated (`frozen_at`): an edit makes a new revision.

    What answers is a base model on this machine, or an endpoint elsewhere: exactly one of them.
    """

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="candidates")
    kind = models.CharField(max_length=8, choices=CandidateKind.choices)
    name = models.CharField(max_length=100)
    revision = models.PositiveIntegerField(default=1)  # of its kind, within the goal
    base_model = models.ForeignKey(
        BaseModel, null=True, blank=True, on_delete=models.PROTECT, related_name="candidates"
    )
    endpoint = models.ForeignKey(
        Endpoint, null=True, blank=True, on_delete=models.CASCADE, related_name="candidates"
    )
    instructions = models.TextField(blank=True)
    shots = models.JSONField(default=list)  # [{"prompt", "answer"}], from train only
    knowledge = models.ForeignKey(
        Knowledge, null=True, blank=True, on_delete=models.CASCADE, related_name="candidates"
    )
    knowledge_index = models.PositiveIntegerField(default=0)  # the index it was made with
    passages = models.PositiveIntegerField(default=0)  # how many it is shown a question
    training = models.ForeignKey(
        Training, null=True, blank=True, on_delete=models.CASCADE, related_name="candidates"
    )
    adapter_sha256 = models.CharField(max_length=64, blank=True)
    number_format = models.CharField(max_length=8, blank=True)
    sampling = models.JSONField(default=dict)  # {"temperature", "top_p"}; empty is greedy
    saved = models.BooleanField(default=False)  # kept by a person, and not only made for a test
    created_at = models.DateTimeField(auto_now_add=True)
    frozen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                name="a_model_here_or_elsewhere",
                condition=Q(base_model=None, endpoint__isnull=False)
                | Q(base_model__isnull=False, endpoint=None),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_remote(self) -> bool:
        return self.endpoint_id is not None

    @property
    def model_name(self) -> str:
        """Of what answers, wherever it is."""
        return str(self.endpoint.name if self.endpoint else self.base_model)

"""Comparisons of live prompts with the prompts a model was trained on."""

from django.db import models

from finetune_app.accounts.models import User
from finetune_app.deployment.models import Deployment
from finetune_app.jobs.models import Job
from finetune_app.versions.models import Version


class DriftCheck(models.Model):
    """One comparison of a deployment's live prompts with the prompts of a dataset version.

    It contains no prompt, only ids of requests, whose text may have been deleted since.
    """

    deployment = models.ForeignKey(
        Deployment, on_delete=models.CASCADE, related_name="drift_checks"
    )
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="+")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="drift_check")
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    newest = models.PositiveBigIntegerField(default=0)  # id of the newest request compared
    learned = models.PositiveIntegerField(default=0)  # number of prompts of the version
    live = models.PositiveIntegerField(default=0)  # number of live prompts
    # Probability that a live prompt scores above a training prompt: 0.5 by guessing, 1 always.
    auc = models.FloatField(null=True, blank=True)  # None: too few prompts
    by_chance = models.FloatField(null=True, blank=True)  # 95th percentile of the AUC by chance
    drifted = models.BooleanField(default=False)
    new_words = models.JSONField(default=list)  # each occurs in several live prompts
    missing_words = models.JSONField(default=list)
    odd = models.JSONField(default=list)  # [request id, similarity 0 to 1], the lowest first

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.deployment} against {self.version}"

    @property
    def auc_percent(self) -> int:
        """Of 100 pairs of a live and a training prompt, how many the classifier tells apart."""
        return round(100 * (self.auc or 0.5))

    @property
    def chance_percent(self) -> int:
        return round(100 * (self.by_chance or 0.5))

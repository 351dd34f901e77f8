"""What was found when live prompts were held against those it learned from."""

from django.db import models

from finetune_app.accounts.models import User
from finetune_app.deployment.models.deployment import Deployment
from finetune_app.jobs.models import Job
from finetune_app.versions.models import Version


class Drift(models.Model):
    """One comparison of live prompts with those of a version (monitoring/drift.py). It holds no
    prompt: those it names are looked up where they are kept, and gone when they are deleted."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="drifts")
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="+")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="drift")
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    newest = models.PositiveBigIntegerField(default=0)  # the newest request that was compared
    learned = models.PositiveIntegerField(default=0)  # prompts of the version
    live = models.PositiveIntegerField(default=0)
    # How often a live prompt looks more live than a learned one: 0.5 nobody could tell, 1 always.
    auc = models.FloatField(null=True, blank=True)  # None: there is no finding
    by_chance = models.FloatField(null=True, blank=True)  # 95 of 100 that know nothing stay below
    drifted = models.BooleanField(default=False)
    new_words = models.JSONField(default=list)  # each in several live prompts, so nobody's own
    missing_words = models.JSONField(default=list)
    odd = models.JSONField(default=list)  # [request, likeness 0 to 1], the strangest first

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.deployment} against {self.version}"

    @property
    def apart(self) -> int:
        """Of 100 pairs of a live and a learned prompt, how many a program tells apart."""
        return round(100 * (self.auc or 0.5))

    @property
    def luck(self) -> int:
        return round(100 * (self.by_chance or 0.5))

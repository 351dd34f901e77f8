"""Searches for better settings, and their trials."""

from django.db import models

from finetune_app.accounts.models import User
from finetune_app.basemodels.models import BaseModel
from finetune_app.goals.models import Goal
from finetune_app.hyperparameter_search.successive_halving import Outcome
from finetune_app.hyperparameter_search.trials import KINDS, TrialKind
from finetune_app.jobs.models import ACTIVE, Job
from finetune_app.training.models import Training
from finetune_app.versions.models import Version


class SearchQuerySet(models.QuerySet["HyperparameterSearch"]):
    def active(self) -> "SearchQuerySet":
        return self.filter(job__state__in=ACTIVE)


class HyperparameterSearch(models.Model):
    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="searches")
    number = models.PositiveIntegerField()
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="searches")
    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="searches")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="search")
    spec = models.JSONField(default=dict)  # of a training with the automatic settings; frozen
    winner = models.PositiveIntegerField(null=True)  # number of the trial
    training = models.OneToOneField(
        Training, null=True, on_delete=models.SET_NULL, related_name="search"
    )  # with the settings of the winner
    started_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SearchQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["goal", "number"], name="one_search_number")]

    def __str__(self) -> str:
        return f"search {self.number}"

    @property
    def folder(self) -> str:
        return f"searches/{self.pk}"


class Trial(models.Model):
    """One setting of a search, and what it reached: a `TrialEvent` for each rung."""

    search = models.ForeignKey(
        HyperparameterSearch, on_delete=models.CASCADE, related_name="trials"
    )
    number = models.PositiveIntegerField()  # from 0, the automatic settings
    name = models.CharField(max_length=20)  # of a TrialKind
    settings = models.JSONField(default=dict)  # that differ from the automatic ones
    reached = models.JSONField(default=list)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["search", "number"], name="one_trial_number")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def kind(self) -> TrialKind:
        return KINDS[self.name]

    def outcome_at(self, rung: int) -> Outcome | None:
        found = next((one for one in self.reached if one["rung"] == rung), None)
        return Outcome(found["score"], found["loss"], found["prompts"]) if found else None

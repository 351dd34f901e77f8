"""The dataset of a goal, and the splits and statuses of examples."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job


class Split(models.TextChoices):
    TRAIN = "train", _("training")
    VALIDATION = "validation", _("practice")
    TEST = "test", _("test")


class Status(models.TextChoices):
    """The status of an example. Versions only contain approved examples."""

    PENDING = "pending", _("To do")  # no answer yet
    DRAFT = "draft", _("Draft")  # begun, not approved yet
    APPROVED = "approved", _("Approved")
    SET_ASIDE = "set_aside", _("Set aside")
    DISPUTED = "disputed", _("Disagreement")  # two people answered it differently


class Dataset(models.Model):
    goal = models.OneToOneField(Goal, on_delete=models.CASCADE, related_name="dataset")
    seed = models.PositiveIntegerField(default=17)  # of the splits; never changes
    last_number = models.PositiveIntegerField(default=0)
    checked_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(auto_now=True)
    guidelines = models.TextField(blank=True)  # how to label, in the team's words
    labels = models.JSONField(default=list)  # the closed set of answers; empty: answers are free
    offer_labels = models.BooleanField(default=True)  # False once a person chose free answers
    twice_percent = models.PositiveSmallIntegerField(default=0)  # of rows that two people label
    check_job = models.ForeignKey(
        Job, null=True, on_delete=models.SET_NULL, related_name="+"
    )  # the last thorough check
    facts = models.JSONField(default=dict)  # statistics of the last check (checks/statistics.py)

    def __str__(self) -> str:
        return f"dataset of {self.goal}"

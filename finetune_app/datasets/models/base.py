"""The dataset of a goal, and the words for what an example is used to and where it stands."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job


class Split(models.TextChoices):
    TRAIN = "train", _("learn")
    VALIDATION = "validation", _("practice")
    TEST = "test", _("test")


class Status(models.TextChoices):
    """Where an example stands on its way into a version. Only the approved are frozen."""

    PENDING = "pending", _("To do")  # no answer yet
    DRAFT = "draft", _("Draft")  # begun, not vouched for
    APPROVED = "approved", _("Approved")
    SET_ASIDE = "set_aside", _("Set aside")
    DISPUTED = "disputed", _("Disagreement")  # two people answered it differently


class Dataset(models.Model):
    goal = models.OneToOneField(Goal, on_delete=models.CASCADE, related_name="dataset")
    seed = models.PositiveIntegerField(default=17)  # of the split; sticky
    last_number = models.PositiveIntegerField(default=0)
    checked_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(auto_now=True)
    guidelines = models.TextField(blank=True)  # how to label, in the team's words
    labels = models.JSONField(default=list)  # the closed set of answers; empty: answers are free
    offer_labels = models.BooleanField(default=True)  # until somebody says that answers are free
    twice_percent = models.PositiveSmallIntegerField(default=0)  # of rows two people label
    check_job = models.ForeignKey(
        Job, null=True, on_delete=models.SET_NULL, related_name="+"
    )  # the last thorough check
    facts = models.JSONField(default=dict)  # what the last check counted (checks/facts.py)

    def __str__(self) -> str:
        return f"dataset of {self.goal}"

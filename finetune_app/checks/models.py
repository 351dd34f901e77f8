"""The cached scan of each example, and the findings of a dataset."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from finetune_app.datasets.models import Dataset, Example


class Severity(models.TextChoices):
    ERROR = "error", _("must be fixed")  # blocks freezing
    WARNING = "warning", _("worth a look")
    INFO = "info", _("good to know")


class RowCheck(models.Model):
    """The cached scan of one example (rules.base.RowScan), valid for texts with its fingerprint."""

    example = models.OneToOneField(
        Example, primary_key=True, on_delete=models.CASCADE, related_name="row_check"
    )
    fingerprint = models.CharField(max_length=32)  # of the messages and the rules' version
    marks = models.JSONField(default=list)  # [[check, message, start, end, what], ...]
    language = models.CharField(max_length=8, blank=True)
    toxic = models.FloatField(null=True)  # 0 to 1; null before a thorough check
    tokens = models.PositiveIntegerField(null=True)  # of the whole example; null likewise
    answer_tokens = models.PositiveIntegerField(null=True)
    model = models.CharField(max_length=120, blank=True)  # whose tokens were counted

    class Meta:
        indexes = [models.Index(fields=["language", "example"], name="row_checks_by_language")]

    def __str__(self) -> str:
        return f"check of {self.example_id}"


class FindingQuerySet(models.QuerySet["Finding"]):
    def light(self) -> "FindingQuerySet":
        """Defer the lists of rows, which may take megabytes."""
        return self.defer("examples", "groups", "spans")


class Finding(models.Model):
    """A problem that a check found, with its examples and its fix."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="findings")
    check_name = models.CharField(max_length=40)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    count = models.PositiveIntegerField(default=0)
    examples = models.JSONField(default=list)  # pks, up to a million of them
    groups = models.JSONField(default=list)  # lists of pks that belong together
    spans = models.JSONField(default=dict)  # {pk: [[message, start, end, what]]} to highlight
    message = models.TextField()
    why = models.TextField(blank=True)
    fix = models.CharField(max_length=40, blank=True)  # name of a fix in checks/fixes.py
    fix_label = models.CharField(max_length=60, blank=True)  # what its button says

    objects = FindingQuerySet.as_manager()

    class Meta:
        ordering = ["severity", "pk"]

    def __str__(self) -> str:
        return self.message

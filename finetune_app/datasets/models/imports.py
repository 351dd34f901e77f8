"""The record of an import: a file that is inspected, confirmed by a person, then read."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.datasets.models.base import Dataset
from finetune_app.jobs.models import Job


class Import(models.Model):
    """An import of a file, with its progress in `step`."""

    class Mode(models.TextChoices):
        APPEND = "append", _("add to what is here")
        REPLACE = "replace", _("replace what is here")
        MERGE = "merge", _("update rows with the same key")

    class Step(models.TextChoices):
        LOOKING = "looking", _("looking at the file")
        CONFIRM = "confirm", _("waiting for you")
        READING = "reading", _("reading")
        PLANNED = "planned", _("waiting for you: this is what changes")
        ADDING = "adding", _("adding")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")  # rows added so far are being removed

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="imports")
    job = models.OneToOneField(Job, null=True, on_delete=models.SET_NULL, related_name="import_of")
    step = models.CharField(max_length=10, choices=Step.choices, default=Step.LOOKING)
    file_name = models.CharField(max_length=200)
    stored_name = models.CharField(max_length=200)  # relative to DATA_DIR
    size = models.BigIntegerField(default=0)
    shape = models.JSONField(default=dict)  # format, encoding, delimiter, columns, samples
    mapping = models.JSONField(default=dict)  # the role of each column
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.APPEND)
    whole_or_nothing = models.BooleanField(default=False)  # one unusable row cancels the import
    plan = models.JSONField(default=dict)  # what will change: {"new", "changed", "same", "gone"}
    rows_read = models.PositiveIntegerField(default=0)
    rows_kept = models.PositiveIntegerField(default=0)
    rejected = models.JSONField(default=list)  # first 200: {"line": 17, "reason": "..."}
    rejected_count = models.PositiveIntegerField(default=0)
    thoughts = models.PositiveIntegerField(default=0)  # rows with a thought before some answer
    worse_thoughts = models.PositiveIntegerField(default=0)  # left out before worse answers
    message = models.TextField(blank=True)
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.file_name

    @property
    def folder(self) -> str:
        """The folder of the upload and of the rows read from it, relative to DATA_DIR."""
        return self.stored_name.rpartition("/")[0]

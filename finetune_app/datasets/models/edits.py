"""The record of changes, from which an edit can be undone."""

from django.db import models

from finetune_app.accounts.models import User
from finetune_app.datasets.models.base import Dataset
from finetune_app.datasets.models.examples import Example
from finetune_app.jobs.models import Job


class Edit(models.Model):
    """An edit that can be undone: each of its `changes` has one example before and after."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="edits")
    what = models.CharField(max_length=120)
    source_import = models.ForeignKey(
        "Import", null=True, on_delete=models.SET_NULL, related_name="edits"
    )  # set for a whole import: its examples are its changes
    removes_rows = models.BooleanField(default=False)  # of an import: rows were removed, not added
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True, blank=True)
    count = models.PositiveIntegerField(default=0)  # of examples changed so far
    left = models.PositiveIntegerField(default=0)  # of examples it could not change
    todo = models.JSONField(default=dict)  # what is not done yet (services/batch_edits.py)
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="+")
    undoes = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.what


class Change(models.Model):
    """What one edit did to one example.

    `before` and `after` hold the fields that changed: messages, rejected, key, tools,
    parallel_tool_calls, status, split, assigned_to (a user's key or None), deleted (whether it is
    in the trash), labels (answers by user key).
    """

    edit = models.ForeignKey(Edit, on_delete=models.CASCADE, related_name="changes")
    example = models.ForeignKey(Example, on_delete=models.CASCADE, related_name="changes")
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.edit_id}: {self.example_id}"

"""A frozen snapshot of a dataset."""

from django.db import models

from finetune_app.accounts.models import User
from finetune_app.datasets.models import Dataset


class Version(models.Model):
    """A frozen, hashed snapshot. Training and evaluation only read versions."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=80, blank=True)
    note = models.TextField(blank=True)
    stored_name = models.CharField(max_length=200)  # versions/<dataset>/<n>.jsonl
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField(default=0)  # bytes
    counts = models.JSONField(default=dict)  # {"train": 240, "validation": 40, "test": 60}
    # Lengths as counted by versions.services.weight, from which tokens are estimated.
    longest = models.PositiveIntegerField(default=0)  # longest example
    longest_rows = models.JSONField(default=list)  # the longest train examples, longest first
    longest_answer = models.PositiveIntegerField(default=0)
    characters = models.PositiveIntegerField(default=0)  # all train examples
    answer_characters = models.PositiveIntegerField(default=0)  # their last answers
    pairs = models.PositiveIntegerField(default=0)  # train examples with a rejected answer
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="one_version_number")
        ]

    def __str__(self) -> str:
        return f"version {self.number}"

"""Uploads that arrive in chunks, and saved column mappings.

The record of an import itself, which examples refer to, is `datasets.models.Import`.
"""

import uuid

from django.db import models

from finetune_app.accounts.models import Team, User
from finetune_app.datasets.models import Dataset


class Upload(models.Model):
    """A large file that arrives in chunks and may be resumed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="uploads")
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    file_name = models.CharField(max_length=200)
    size = models.BigIntegerField()  # bytes, as announced
    modified_at_ms = models.BigIntegerField(default=0)  # since 1970; 0 where the client tells none
    received = models.BigIntegerField(default=0)  # bytes
    at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.file_name


class UploadChunk(models.Model):
    """A part of an upload that has arrived."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="chunks")
    offset = models.BigIntegerField()  # of its first byte in the file
    size = models.PositiveIntegerField()  # bytes
    stored_name = models.CharField(max_length=200)

    class Meta:
        ordering = ["offset"]
        constraints = [
            models.UniqueConstraint(fields=["upload", "offset"], name="one_chunk_per_offset")
        ]

    def __str__(self) -> str:
        return self.stored_name


class SavedMapping(models.Model):
    """The column mapping a team confirmed last for files of one format and set of columns."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="saved_mappings")
    fingerprint = models.CharField(max_length=64)  # of the format and the column names
    mapping = models.JSONField(default=dict)
    used_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["team", "fingerprint"], name="one_saved_mapping_per_fingerprint"
            )
        ]

    def __str__(self) -> str:
        return self.fingerprint

"""What machines that share a store of files tell each other."""

from django.db import models
from django.utils import timezone


class Deletion(models.Model):
    """A file or folder that was deleted on one machine; the others delete their copies of it."""

    name = models.CharField(max_length=200)  # below DATA_DIR, such as "runs/7"
    disk = models.CharField(max_length=32)  # where it is deleted already; see files.disk_id
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class SecretFingerprint(models.Model):
    """What tells a secret from another without giving it away; see shared_secrets.py."""

    name = models.CharField(max_length=40, unique=True)
    fingerprint = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.name

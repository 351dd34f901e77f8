"""Documents for retrieval (RAG), and the index of their passages.

Text of documents is stored only in files below `Knowledge.folder`, never in the database, so that
deleting a file deletes it. Each index is a folder (`index-3`) that is never changed.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import User
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job


class Knowledge(models.Model):
    """The documents of a goal, and the index that is in use."""

    goal = models.OneToOneField(Goal, on_delete=models.CASCADE, related_name="knowledge")
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="+")  # newest
    index = models.PositiveIntegerField(default=0)  # number of the index in use; 0: none
    last_index = models.PositiveIntegerField(default=0)  # numbers are not reused
    embedder = models.CharField(max_length=120, blank=True)  # that made the index
    passages = models.PositiveIntegerField(default=0)  # in the index
    characters = models.PositiveIntegerField(default=0)  # of all documents in it
    indexed_at = models.DateTimeField(null=True, blank=True)
    practice = models.JSONField(default=dict, blank=True)  # schemas.SearchQuality

    def __str__(self) -> str:
        return f"knowledge of {self.goal}"

    @property
    def is_searchable(self) -> bool:
        return bool(self.index)

    @property
    def folder(self) -> str:
        return f"knowledge/{self.pk}"

    @property
    def index_folder(self) -> str:
        """Folder of the index in use, below DATA_DIR; "" if there is none."""
        return f"{self.folder}/index-{self.index}" if self.index else ""


class DocumentQuerySet(models.QuerySet["Document"]):
    def readable(self) -> "DocumentQuerySet":
        """Documents for the next index: all but those that could not be read."""
        return self.exclude(state=Document.State.FAILED)

    def waiting(self) -> "DocumentQuerySet":
        return self.filter(state=Document.State.WAITING)


class Document(models.Model):
    """One file. Its folder holds the upload and the files of worker/knowledge/document_cache.py."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        READY = "ready", _("can be searched")
        FAILED = "failed", _("could not be read")

    knowledge = models.ForeignKey(Knowledge, on_delete=models.CASCADE, related_name="documents")
    name = models.CharField(max_length=200)  # file name of the upload
    folder = models.CharField(max_length=200)  # knowledge/<id>/documents/<uuid>
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField(default=0)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    message = models.TextField(blank=True)  # why it could not be read
    pages = models.PositiveIntegerField(default=0)
    passages = models.PositiveIntegerField(default=0)
    characters = models.PositiveIntegerField(default=0)
    added_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    added_at = models.DateTimeField(auto_now_add=True)

    objects = DocumentQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def upload(self) -> str:
        return f"{self.folder}/upload"

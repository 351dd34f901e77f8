"""What programs bring and begin through the API."""

import uuid

from django.db import models

from finetune_app.accounts.models import Team
from finetune_app.goals.models import Goal
from finetune_app.training.models import Training


class ApiFile(models.Model):
    """A file that a program uploaded to train on."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="api_files")
    name = models.CharField(max_length=200)
    purpose = models.CharField(max_length=20, default="fine-tune")
    kept_as = models.CharField(max_length=200)  # below DATA_DIR
    size = models.BigIntegerField()
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def api_id(self) -> str:
        return f"file-{self.public_id.hex}"


class ApiJob(models.Model):
    """A fine-tuning job that a program asked for: the goal and the training that came of it."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="api_jobs")
    goal = models.OneToOneField(Goal, on_delete=models.CASCADE, related_name="api_job")
    training = models.OneToOneField(
        Training, null=True, on_delete=models.CASCADE, related_name="api_job"
    )  # None where the file was no good: `problem` says why
    problem = models.TextField(blank=True)
    model = models.CharField(max_length=120)  # the base model, as it was asked for
    suffix = models.CharField(max_length=64, blank=True)
    seed = models.PositiveIntegerField(default=17)
    metadata = models.JSONField(default=dict)
    training_file = models.CharField(max_length=64)  # ids: the files may be gone by now
    validation_file = models.CharField(max_length=64, blank=True)
    asked = models.JSONField(default=dict)  # the hyperparameters, as they were asked for
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.api_id

    @property
    def api_id(self) -> str:
        return f"ftjob-{self.public_id.hex}"

    @property
    def tuned_name(self) -> str:
        """What programs call the model that comes of it."""
        return f"ft:{self.model}:team-{self.team_id}:{self.suffix}:{self.public_id.hex[:8]}"
